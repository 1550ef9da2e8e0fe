// SPDX-License-Identifier: Apache-2.0
/*
 * A new store from a backup. Everything is read and verified before the store
 * takes its place.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <openssl/evp.h>
#include <rocksdb/c.h>

#include "backup.h"
#include "cluster_pki.h"
#include "marker.h"
#include "ns.h"
#include "proto/store.pb-c.h"
#include "rebuild.h"
#include "store.h"
#include "store_place.h"

#define KEY_MAX		4096
#define VALUE_MAX	(1 << 20)
#define BATCH_BYTES	(1 << 20)

struct in {
	FILE *f;
	EVP_MD_CTX *md;
	const char *name;
	const uint8_t *uuid;	/* NULL: any */
	rocksdb_t *db;
	rocksdb_writeoptions_t *wo;
	rocksdb_writebatch_t *batch;
	size_t batch_bytes;
	uint64_t count;
	bool have_super, have_seq;
	char *why;
	size_t why_len;
};

static int fail(struct in *in, int rc, const char *text)
{
	snprintf(in->why, in->why_len, "%s", text);
	return rc;
}

static int get(struct in *in, void *p, size_t len)
{
	if (fread(p, 1, len, in->f) != len)
		return fail(in, -EUCLEAN, ferror(in->f) ?
			    "the backup cannot be read" :
			    "the backup is cut short: use a complete one");
	EVP_DigestUpdate(in->md, p, len);
	return 0;
}

static uint64_t get_le(const uint8_t *p, int n)
{
	uint64_t v = 0;

	for (int i = n; i-- > 0;)
		v = v << 8 | p[i];
	return v;
}

static int read_header(struct in *in)
{
	char line[256], name[64], uuid[37], want[37];
	unsigned int format;

	if (!fgets(line, sizeof(line), in->f) ||
	    sscanf(line, "orchfs backup %u %36s %63s", &format, uuid,
		   name) != 3)
		return fail(in, -EINVAL, "this is no backup of orchfs");
	if (format != 1)
		return fail(in, -EPROTO, "the backup is from a newer orchfs: "
			    "upgrade orchd");
	EVP_DigestUpdate(in->md, line, strlen(line));
	if (strcmp(name, in->name)) {
		snprintf(in->why, in->why_len, "the backup is of namespace "
			 "%s, not %s: name that one", name, in->name);
		return -EINVAL;
	}
	if (!in->uuid)
		return 0;
	uuid_text(in->uuid, want);
	if (!strcmp(uuid, want))
		return 0;
	snprintf(in->why, in->why_len, "it is of another namespace of that "
		 "name (%s, not %s)", uuid, want);
	return -EINVAL;
}

/* From the clock: the same backup may be restored more than once. */
static uint64_t next_epoch(uint64_t old)
{
	struct timespec t;
	uint64_t us;

	clock_gettime(CLOCK_REALTIME, &t);
	us = (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
	return us > old ? us : old + 1;
}

/*
 * The restored store is another line of history than what the kernel or the
 * volumes may have seen: a higher epoch for the volumes, an incarnation that
 * was never used for the kernel, and the mark of an unclean stop on another
 * boot, so that volumes are swept.
 */
static int change_super(struct in *in, const uint8_t *val, size_t len)
{
	Orchfs__Store__Super *s;
	uint8_t *out;
	char none[1] = "", *boot;

	s = orchfs__store__super__unpack(NULL, len, val);
	if (!s || !s->format || s->format > ns_newest_format() || strcmp(s->name, in->name)) {
		orchfs__store__super__free_unpacked(s, NULL);
		return fail(in, -EUCLEAN, "the backup's super record is "
			    "damaged or newer than this orchd");
	}
	s->epoch = next_epoch(s->epoch);
	s->clean = false;
	s->incarnation = (uint64_t)time(NULL) << 24;
	boot = s->boot_id;
	s->boot_id = none;
	len = orchfs__store__super__get_packed_size(s);
	out = malloc(len ? len : 1);
	if (out) {
		orchfs__store__super__pack(s, out);
		rocksdb_writebatch_put(in->batch, "Ssuper", 6, (char *)out,
				       len);
	}
	s->boot_id = boot;
	orchfs__store__super__free_unpacked(s, NULL);
	free(out);
	in->have_super = true;
	return out ? 0 : -ENOMEM;
}

static int flush_batch(struct in *in)
{
	char *err = NULL;

	rocksdb_write(in->db, in->wo, in->batch, &err);
	rocksdb_writebatch_clear(in->batch);
	in->batch_bytes = 0;
	if (!err)
		return 0;
	snprintf(in->why, in->why_len, "writing the new store: %s", err);
	rocksdb_free(err);
	return -EIO;
}

/* Return: 1 a record was read, 0 the end, -errno. */
static int read_record(struct in *in, uint8_t *key, uint8_t *val)
{
	uint8_t head[8];
	size_t klen, vlen;
	int rc;

	rc = get(in, head, 8);
	if (rc < 0)
		return rc;
	klen = get_le(head, 4);
	vlen = get_le(head + 4, 4);
	if (!klen && !vlen)
		return 0;
	if (!klen || klen > KEY_MAX || vlen > VALUE_MAX)
		return fail(in, -EUCLEAN, "the backup is damaged: a record "
			    "of an impossible size");
	rc = get(in, key, klen);
	if (!rc && vlen)
		rc = get(in, val, vlen);
	if (rc < 0)
		return rc;
	in->count++;
	if (klen == 6 && !memcmp(key, "Ssuper", 6)) {
		rc = change_super(in, val, vlen);
		return rc < 0 ? rc : 1;
	}
	if (klen == 4 && !memcmp(key, "Sseq", 4))
		in->have_seq = vlen == 8;
	rocksdb_writebatch_put(in->batch, (char *)key, klen, (char *)val,
			       vlen);
	in->batch_bytes += klen + vlen;
	if (in->batch_bytes > BATCH_BYTES)
		rc = flush_batch(in);
	return rc < 0 ? rc : 1;
}

static int read_trailer(struct in *in)
{
	uint8_t count[8], sum[EVP_MAX_MD_SIZE], want[32];
	unsigned int len = 0;
	int rc;

	rc = get(in, count, 8);
	if (rc < 0)
		return rc;
	EVP_DigestFinal_ex(in->md, sum, &len);
	if (fread(want, 1, 32, in->f) != 32)
		return fail(in, -EUCLEAN,
			    "the backup is cut short: use a complete one");
	if (get_le(count, 8) != in->count || memcmp(sum, want, 32))
		return fail(in, -EUCLEAN, "the backup is damaged: its "
			    "checksum differs");
	if (fgetc(in->f) != EOF)
		return fail(in, -EUCLEAN, "data follow the end of the backup");
	if (!in->have_super || !in->have_seq)
		return fail(in, -EUCLEAN, "the backup lacks its super record");
	return 0;
}

static int read_all(struct in *in)
{
	uint8_t *key = malloc(KEY_MAX), *val = malloc(VALUE_MAX);
	int rc = key && val ? read_header(in) : -ENOMEM;

	while (!rc) {
		rc = read_record(in, key, val);
		if (rc <= 0)
			break;
		rc = 0;
	}
	if (!rc)
		rc = read_trailer(in);
	if (!rc)
		rc = flush_batch(in);
	free(key);
	free(val);
	return rc;
}

/* Straight into the database, because the sequence number is kept as it is. */
static int fill_db(struct in *in, const char *db)
{
	rocksdb_options_t *o = rocksdb_options_create();
	rocksdb_flushoptions_t *fo = rocksdb_flushoptions_create();
	char *err = NULL;
	int rc;

	in->db = rocksdb_open(o, db, &err);
	in->wo = rocksdb_writeoptions_create();
	in->batch = rocksdb_writebatch_create();
	rc = err ? -EIO : read_all(in);
	if (!rc)
		rocksdb_flush(in->db, fo, &err);
	if (err) {
		snprintf(in->why, in->why_len, "the new store: %s", err);
		rocksdb_free(err);
		rc = -EIO;
	}
	rocksdb_writebatch_destroy(in->batch);
	rocksdb_writeoptions_destroy(in->wo);
	if (in->db)
		rocksdb_close(in->db);
	rocksdb_flushoptions_destroy(fo);
	rocksdb_options_destroy(o);
	return rc;
}

static int make_store(struct in *in, const char *dir, bool create)
{
	struct store_opts o = { .create = create };
	const char *why = NULL;
	struct store *st;
	int rc;

	rc = store_open("rocksdb", dir, &o, &st, &why);
	if (rc < 0) {
		snprintf(in->why, in->why_len, "the new store in %s: %s", dir,
			 why ? why : strerror(-rc));
		return rc;
	}
	if (!create) {
		rc = store_barrier(st);
		if (rc < 0)
			fail(in, rc, "the new store cannot be made durable");
	}
	store_close(st);
	return rc;
}

int backup_read(int fd, const char *name, const uint8_t *uuid, const char *dir,
		char *why, size_t len)
{
	struct in in = {
		.name = name, .uuid = uuid, .why = why, .why_len = len,
	};
	char db[4500];
	int rc;

	snprintf(why, len, "cannot make a store in %s", dir);
	snprintf(db, sizeof(db), "%s/db", dir);
	in.f = fdopen(dup(fd), "r");
	in.md = EVP_MD_CTX_new();
	if (in.f && in.md && EVP_DigestInit_ex(in.md, EVP_sha256(), NULL) == 1)
		rc = mkdir(dir, 0700) < 0 ? -errno : 0;
	else
		rc = fail(&in, -ENOMEM, "out of memory");
	if (!rc)
		rc = make_store(&in, dir, true);
	if (!rc)
		rc = fill_db(&in, db);
	if (!rc)
		rc = make_store(&in, dir, false);
	EVP_MD_CTX_free(in.md);
	if (in.f)
		fclose(in.f);
	return rc;
}

int backup_restore(int fd, const char *name, const char *dir, char *why)
{
	char aside[STORE_PLACE_PATH];
	struct store_place p;
	int rc;

	rc = store_place_begin(&p, dir, true, why, VOLUME_WHY);
	if (!rc)
		rc = backup_read(fd, name, NULL, p.tmp, why, VOLUME_WHY);
	if (!rc)
		rc = restore_settle(p.tmp, p.dir, name, why);
	if (!rc) {
		rc = cluster_keep(p.dir, p.tmp);
		if (rc < 0)
			snprintf(why, VOLUME_WHY, "%.300s/cluster: %s", p.dir,
				 strerror(-rc));
	}
	if (!rc)
		rc = store_place_commit(&p, aside, why, VOLUME_WHY);
	if (!rc && *aside)
		printf("the store that was there is now %s\n", aside);
	store_place_end(&p);
	return rc;
}
