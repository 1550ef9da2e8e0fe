// SPDX-License-Identifier: Apache-2.0
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "fault.h"
#include "log.h"

#define FAULT_MAX	8

static struct {
	char name[48];
	atomic_long left;
} faults[FAULT_MAX];
static int nr_faults;

void fault_init(void)
{
	const char *env = getenv("ORCHD_FAULT");
	char *copy, *save = NULL, *p;

	nr_faults = 0;
	if (!env)
		return;
	copy = strdup(env);
	if (!copy)
		return;
	for (p = strtok_r(copy, ",", &save); p && nr_faults < FAULT_MAX;
	     p = strtok_r(NULL, ",", &save)) {
		char *colon = strchr(p, ':');
		long count = colon ? atol(colon + 1) : 1;

		if (colon)
			*colon = 0;
		if (strlen(p) >= sizeof(faults[0].name))
			continue;
		strcpy(faults[nr_faults].name, p);
		atomic_store(&faults[nr_faults].left, count);
		nr_faults++;
	}
	free(copy);
}

bool fault_enabled(const char *name)
{
	for (int i = 0; i < nr_faults; i++)
		if (!strcmp(faults[i].name, name))
			return true;
	return false;
}

long fault_value(const char *name)
{
	for (int i = 0; i < nr_faults; i++)
		if (!strcmp(faults[i].name, name))
			return atomic_load(&faults[i].left);
	return 0;
}

bool fault_hit(const char *name)
{
	for (int i = 0; i < nr_faults; i++)
		if (!strcmp(faults[i].name, name) &&
		    atomic_fetch_sub(&faults[i].left, 1) == 1)
			return true;
	return false;
}

void fault_point(const char *name)
{
	if (!fault_hit(name))
		return;
	log_err(NULL, "fault point %s", name);
	_exit(99);
}
