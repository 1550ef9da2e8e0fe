// SPDX-License-Identifier: Apache-2.0
/* orchctl rebuild: what was found, in words or as JSON. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "rebuild.h"

#define TOLD	20	/* missing files in the text */

static void when_text(const struct orchfs_time *t, char *out, size_t len)
{
	time_t sec = (time_t)t->sec;
	struct tm tm;

	gmtime_r(&sec, &tm);
	strftime(out, len, "%Y-%m-%dT%H:%M:%SZ", &tm);
}

static size_t utf8_len(const unsigned char *s)
{
	size_t n = s[0] >= 0xc2 && s[0] <= 0xdf ? 2 :
		   (s[0] & 0xf0) == 0xe0 ? 3 :
		   s[0] >= 0xf0 && s[0] <= 0xf4 ? 4 : 0;

	for (size_t i = 1; i < n; i++)
		if ((s[i] & 0xc0) != 0x80)
			return 0;
	if ((s[0] == 0xe0 && s[1] < 0xa0) || (s[0] == 0xed && s[1] > 0x9f) ||
	    (s[0] == 0xf0 && s[1] < 0x90) || (s[0] == 0xf4 && s[1] > 0x8f))
		return 0;
	return n;
}

/* A byte that is part of no UTF-8 sequence becomes \xHH, as in orchctl. */
static void put_string(const char *text)
{
	const unsigned char *s = (const unsigned char *)text;
	size_t n;

	putchar('"');
	while (*s) {
		n = *s < 0x80 ? 1 : utf8_len(s);
		if (!n)
			printf("\\\\x%02x", *s++);
		else if (*s == '"' || *s == '\\')
			printf("\\%c", *s++);
		else if (*s < 0x20)
			printf("\\u%04x", *s++);
		else
			for (; n; n--)
				putchar(*s++);
	}
	putchar('"');
}

static void put_number(const char *name, uint64_t v)
{
	printf(",\n  \"%s\": %" PRIu64, name, v);
}

static void put_list(const char *name)
{
	printf(",\n  \"%s\": [", name);
}

static void report_json(const struct rebuild *r)
{
	char when[32];

	printf("{\n  \"namespace\": ");
	put_string(r->o->name);
	printf(",\n  \"store\": ");
	put_string(r->o->store);
	printf(",\n  \"dry_run\": %s,\n  \"export\": ",
	       r->o->dry_run ? "true" : "false");
	if (r->found) {
		when_text(&r->when, when, sizeof(when));
		printf("{ \"volume\": ");
		put_string(r->from_volume->rec.name);
		printf(", \"transaction\": %" PRIu64 ", \"time\": \"%s\" }",
		       r->from.seq, when);
	} else {
		printf("null");
	}
	put_list("rejected");
	for (size_t i = 0; i < r->nr_rejected; i++) {
		printf("%s", i ? ", " : " ");
		put_string(r->rejected[i]);
	}
	printf(" ]");
	put_number("files", r->sums.files);
	put_number("written_since", r->sums.since);
	put_number("placed", r->placed);
	put_number("lost_found", r->lost);
	put_number("lost_found_bytes", r->lost_bytes);
	put_number("incomplete", r->part);
	put_number("spare", r->spare);
	put_number("empty", r->empty);
	put_number("missing", r->sums.missing);
	put_list("missing_paths");
	for (size_t i = 0; i < r->nr_missing; i++) {
		printf("%s", i ? ", " : " ");
		put_string(r->missing[i]);
	}
	printf(" ]");
	put_number("away", r->sums.away);
	put_list("away_volumes");
	for (size_t i = 0; i < r->nr_away; i++) {
		printf("%s", i ? ", " : " ");
		put_string(r->away[i]);
	}
	printf(" ]");
	put_list("undrained_volumes");
	for (size_t i = 0; i < r->nr_undrained; i++) {
		printf("%s", i ? ", " : " ");
		put_string(r->undrained[i]);
	}
	printf(" ]\n}\n");
}

static void line(uint64_t n, const char *text)
{
	if (n)
		printf("%12" PRIu64 "  %s\n", n, text);
}

static void report_missing(const struct rebuild *r)
{
	size_t n = r->nr_missing < TOLD ? r->nr_missing : TOLD;

	line(r->sums.missing, "names whose contents are on no volume: removed "
	     "or replaced after");
	if (r->sums.missing)
		printf("              the export, or lost. They give EIO:\n");
	for (size_t i = 0; i < n; i++)
		printf("                %s\n", r->missing[i]);
	if (r->sums.missing > n)
		printf("                and %" PRIu64 " more: see --json\n",
		       r->sums.missing - n);
}

static void report_text(const struct rebuild *r)
{
	char when[32];

	printf("namespace %s %s in %s\n", r->o->name,
	       r->o->dry_run ? "would be made" : "is made", r->o->store);
	for (size_t i = 0; i < r->nr_rejected; i++)
		printf("not used: %s\n", r->rejected[i]);
	if (r->found) {
		when_text(&r->when, when, sizeof(when));
		printf("names are those of %s (transaction %" PRIu64 ", from "
		       "volume %s)\n", when, r->from.seq,
		       r->from_volume->rec.name);
	} else {
		printf("no export of the names was found: all of them are "
		       "lost\n");
	}
	printf("%12" PRIu64 "  files with names and contents\n",
	       r->sums.files - r->lost);
	line(r->sums.since, "of these were written after the "
	     "export; their contents are there");
	line(r->placed, "of these lie at another place than the export says");
	line(r->lost, "files in lost+found, by their inode number");
	line(r->part, "of these two are copies that a move had not finished, "
	     "with holes for\n              bytes that are on no volume: "
	     "backing files of mode 0");
	report_missing(r);
	line(r->sums.away, "files on volumes that are not there; they give "
	     "EIO until those are back");
	line(r->spare, "further copies, to quarantine at the next start");
	line(r->empty, "backing files without contents or a name, used for "
	     "new files");
	for (size_t i = 0; i < r->nr_undrained; i++)
		printf("volume %s was being drained: orchctl volume drain %s "
		       "goes on\n", r->undrained[i], r->undrained[i]);
	printf("What was made, renamed or removed after the export is not "
	       "known; nor are owners,\nmodes, times of directories, links and "
	       "extended attributes that changed after it.\n");
}

void rebuild_report(const struct rebuild *r)
{
	if (r->o->json)
		report_json(r);
	else
		report_text(r);
}
