# SPDX-License-Identifier: Apache-2.0
# Sourced by tools/check: counts results and keeps the logs of one run. Jobs
# that run side by side report here (jobs.sh); what belongs together is printed in
# one go.
# shellcheck shell=bash

RESULTS_KEPT=10

results_begin() {
	local logs=$ORCHFS_CACHE/logs
	RESULTS=$logs/check-$(date +%Y%m%d-%H%M%S)-$$
	mkdir -p "$RESULTS"
	: >"$RESULTS/results"
	: >"$RESULTS/expected"
	# older runs go, the newest few stay
	find "$logs" -maxdepth 1 -name 'check-*' -type d | sort |
		head -n -$RESULTS_KEPT | xargs -r rm -rf
	ORCH_SEED=${ORCH_SEED:-$(od -An -N4 -tu4 /dev/urandom | tr -d ' ')}
	export ORCH_SEED
	say "logs: $RESULTS"
	say "seed: $ORCH_SEED (ORCH_SEED=$ORCH_SEED repeats this run)"
}

# together: prints its input when nobody else prints.
together() {
	flock "$RESULTS/lock" cat
}

result_log() {
	echo "$RESULTS/${1//\//-}.log"
}

# result_expected NAME...: each must report, or have cases that do.
result_expected() {
	printf '%s\n' "$@" >>"$RESULTS/expected"
}

# result pass|fail|skip NAME [LOG [WHY]]
result() {
	printf '%s %s\n' "$1" "$2" >>"$RESULTS/results"
	result_text "$@" | together
}

result_text() {
	case $1 in
	pass) printf 'ok   %s%s\n' "$2" "${4:+ $4}" ;;
	skip) printf 'skip %s%s\n' "$2" "${4:+ $4}" ;;
	fail)
		printf 'FAIL %s%s\n' "$2" "${4:+: $4}"
		[ ! -s "${3:-}" ] || {
			echo "--- end of $3"
			tail -n "${RESULTS_TAIL:-40}" "$3"
			echo "---"
		}
		;;
	esac
}

# run_test NAME SECONDS COMMAND...: one test, passed when COMMAND exits 0.
run_test() {
	local name=$1 seconds=$2 log status start=$SECONDS
	shift 2
	log=$(result_log "$name")
	run_limited "$seconds" "$log" "$@" && status=0 || status=$?
	case $status in
	0) result pass "$name" "$log" "($((SECONDS - start)) s)" ;;
	4) result skip "$name" "$log" "$(tail -n 1 "$log")" ;;
	124) result fail "$name" "$log" "timed out after $seconds s" ;;
	*) result fail "$name" "$log" "exit status $status" ;;
	esac
}

run_limited() {
	local seconds=$1 log=$2 status=0
	shift 2
	"${GUARD[@]}" timeout --kill-after=30 "$seconds" "$@" >"$log" 2>&1 \
		</dev/null || status=$?
	return $status
}

# run_cases NAME SECONDS COMMAND...: a runner that names its cases, as cmocka
# and KTAP do. Each case counts; a failure without a named case counts once.
run_cases() {
	local name=$1 seconds=$2 log status=0 failed=0 kind case passed=0
	shift 2
	log=$(result_log "$name")
	run_limited "$seconds" "$log" "$@" || status=$?
	while read -r kind case; do
		case $kind in
		pass)
			passed=$((passed + 1))
			printf 'pass %s\n' "$name/$case" >>"$RESULTS/results"
			;;
		fail)
			failed=1
			result fail "$name/$case"
			;;
		esac
	done < <(case_lines "$log")
	[ $passed = 0 ] ||
		printf 'ok   %s: %s cases\n' "$name" $passed | together
	if [ $status != 0 ] && [ $failed = 0 ]; then
		result fail "$name" "$log" "exit status $status"
	elif [ $failed = 1 ]; then
		{
			echo "--- end of $log"
			tail -n "${RESULTS_TAIL:-40}" "$log"
		} | together
	elif [ $passed = 0 ]; then
		result fail "$name" "$log" "it ran no test"
	fi
}

# cmocka's "[       OK ] case" and KTAP's indented "ok 1 case".
case_lines() {
	sed -En \
		-e 's/^\[ +OK \] (.*)/pass \1/p' \
		-e 's/^\[  FAILED  \] ([a-z_0-9]+)$/fail \1/p' \
		-e '/# SKIP/d' \
		-e 's/^ {4,}ok [0-9]+ (- )?([^ #]+).*/pass \2/p' \
		-e 's/^ {4,}not ok [0-9]+ (- )?([^ #]+).*/fail \2/p' "$1" | sort -u
}

# result_stream GROUP LOG: reads KTAP lines as they come; each test's part goes
# to a log of its own as well.
result_stream() {
	local group=$1 log=$2 line name own=/dev/null
	: >"$log"
	while IFS= read -r line; do
		printf '%s\n' "$line" >>"$log"
		if [[ $line == '# start '* ]]; then
			own=$(result_log "$group/${line#\# start }")
			: >"$own"
		fi
		printf '%s\n' "$line" >>"$own"
		name=${line#not }
		name=${name#ok }
		name=${name%% *}
		case $line in
		'ok '*'# SKIP'*) result skip "$group/$name" "$own" ;;
		'ok '*) result pass "$group/$name" "$own" "(${line##*(}" ;;
		'not ok '*) result fail "$group/$name" "$own" "${line#* # }" ;;
		esac
	done
}

# A job that died has not said what became of its tests.
results_complete() {
	local name
	while read -r name; do
		cut -d ' ' -f 2- "$RESULTS/results" |
			awk -v name="$name" '$0 == name ||
				index($0, name "/") == 1 { found = 1 }
				END { exit !found }' ||
			result fail "$name" "" "it gave no result"
	done <"$RESULTS/expected"
}

results_end() {
	local passed failed skipped
	results_complete
	sort -s -k 2,2 -o "$RESULTS/results" "$RESULTS/results"
	passed=$(grep -c '^pass' "$RESULTS/results") || :
	failed=$(grep -c '^fail' "$RESULTS/results") || :
	skipped=$(grep -c '^skip' "$RESULTS/results") || :
	if [ "$failed" -gt 0 ]; then
		echo "failed:"
		sed -n 's/^fail /  /p' "$RESULTS/results"
		echo "logs: $RESULTS"
	fi
	echo "took $((SECONDS / 60)) min $((SECONDS % 60)) s"
	if [ "$skipped" -gt 0 ]; then
		echo "$passed passed, $failed failed, $skipped skipped"
	else
		echo "$passed passed, $failed failed"
	fi
	[ "$failed" = 0 ] && [ "$passed" -gt 0 ]
}
