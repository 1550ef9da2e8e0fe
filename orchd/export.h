/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Exports of the names: files ROOT/names/EPOCH.SEQUENCE on the volumes, for
 * orchctl rebuild. Documentation/rebuild.md
 */
#ifndef ORCHD_EXPORT_H
#define ORCHD_EXPORT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "backup.h"

#define EXPORT_DIR	"names"
#define EXPORT_KEEP	2

struct export_file {
	uint64_t epoch, seq;	/* as its name says */
	char path[48];		/* from the volume's root */
};

/** export_newer() - for sorting: < 0 when @a is the newer one. */
int export_newer(const struct export_file *a, const struct export_file *b);
/**
 * export_list() - the exports on the volume whose root is @root_fd, the
 * newest first. Return: 0 and *out, malloced, also when there is none; -errno.
 */
int export_list(int root_fd, struct export_file **out, size_t *nr);
/**
 * export_write() - a new export on the volume with the root @root_fd, durable;
 * older ones but EXPORT_KEEP are removed.
 * @from: -1: out of the store, *stats is filled; else a copy of this export
 * with what *stats says.
 * @room: bytes that must be free besides what the last export took.
 * Return: a descriptor of the export; -ECANCELED; -ENOSPC; other -errno.
 */
int export_write(int root_fd, struct store *st, int from, uint64_t room,
		 bool (*stop)(void *ctx), void *ctx,
		 struct backup_stats *stats);
/** export_remove_all() - of a volume that is given up. */
void export_remove_all(int root_fd);

struct served;

/* In the namespace thread. */
int exporter_start(struct served *sv);
/** exporter_want() - soon: the last mount is gone, a volume is new. */
void exporter_want(struct served *sv);
void exporter_tick(struct served *sv);		/* each second */
void exporter_stop(struct served *sv);
/** exporter_final() - after exporter_stop(): what the last one lacks. */
void exporter_final(struct served *sv);

#endif
