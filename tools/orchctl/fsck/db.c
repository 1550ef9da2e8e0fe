// SPDX-License-Identifier: Apache-2.0
/* Rows of the store, the overlay of a repair, and keys. */
#include <endian.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "orchctl.h"
#include "fsck.h"

struct fop {
	struct fop *next;
	bool del;
	size_t klen, vlen;
	uint8_t data[];
};

struct fkey *key_begin(struct fkey *k, char table)
{
	k->b[0] = (uint8_t)table;
	k->len = 1;
	return k;
}

struct fkey *key_bytes(struct fkey *k, const void *p, size_t len)
{
	if (len > sizeof(k->b) - k->len)
		len = sizeof(k->b) - k->len;
	memcpy(k->b + k->len, p, len);
	k->len += len;
	return k;
}

struct fkey *key_u32(struct fkey *k, uint32_t v)
{
	v = htobe32(v);
	return key_bytes(k, &v, sizeof(v));
}

struct fkey *key_u64(struct fkey *k, uint64_t v)
{
	v = htobe64(v);
	return key_bytes(k, &v, sizeof(v));
}

struct fkey key_num(char table, int n, ...)
{
	struct fkey k;
	va_list ap;

	key_begin(&k, table);
	va_start(ap, n);
	while (n--)
		key_u64(&k, va_arg(ap, uint64_t));
	va_end(ap);
	return k;
}

uint32_t get_be32(const uint8_t *p)
{
	uint32_t v;

	memcpy(&v, p, sizeof(v));
	return be32toh(v);
}

uint64_t get_be64(const uint8_t *p)
{
	uint64_t v;

	memcpy(&v, p, sizeof(v));
	return be64toh(v);
}

static int db_error(const char *what, char *err)
{
	int rc = fail(RC_FAILED, "%s: %s", what, err);

	rocksdb_free(err);
	return rc;
}

/*
 * A copy that a daemon made goes when that one ends or is replaced. What is
 * open by then can still be read, so all of it is opened at once.
 */
static int files_open(const struct fsck *f)
{
	struct rlimit r;

	if (!f->online)
		return 256;
	if (!getrlimit(RLIMIT_NOFILE, &r)) {
		r.rlim_cur = r.rlim_max;
		setrlimit(RLIMIT_NOFILE, &r);
	}
	return -1;
}

int db_open(struct fsck *f)
{
	char *err = NULL;

	f->options = rocksdb_options_create();
	rocksdb_options_set_paranoid_checks(f->options, 1);
	rocksdb_options_set_max_open_files(f->options, files_open(f));
	rocksdb_options_set_info_log_level(f->options, 3);
	rocksdb_options_set_keep_log_file_num(f->options, 2);
	rocksdb_options_set_compression(f->options, rocksdb_no_compression);
	if (f->repair)
		f->db = rocksdb_open(f->options, f->db_dir, &err);
	else
		f->db = rocksdb_open_for_read_only(f->options, f->db_dir, 0,
						   &err);
	if (err) {
		f->db = NULL;
		return db_error("the store cannot be opened", err);
	}
	f->read = rocksdb_readoptions_create();
	rocksdb_readoptions_set_verify_checksums(f->read, 1);
	if (f->repair)
		f->overlay = rocksdb_writebatch_wi_create(0, 1);
	return RC_OK;
}

void db_close(struct fsck *f)
{
	db_apply(f);
	if (f->overlay)
		rocksdb_writebatch_wi_destroy(f->overlay);
	if (f->read)
		rocksdb_readoptions_destroy(f->read);
	if (f->db)
		rocksdb_close(f->db);
	if (f->options)
		rocksdb_options_destroy(f->options);
	f->overlay = NULL;
	f->read = NULL;
	f->db = NULL;
	f->options = NULL;
}

void rows_begin(struct fsck *f, struct row *r, const struct fkey *k)
{
	rocksdb_iterator_t *it = rocksdb_create_iterator(f->db, f->read);

	memset(r, 0, sizeof(*r));
	/* The base iterator becomes part of the new one. */
	r->it = f->overlay ?
		rocksdb_writebatch_wi_create_iterator_with_base(f->overlay, it)
		: it;
	r->prefix_len = k->len < sizeof(r->prefix) ? k->len :
			sizeof(r->prefix);
	memcpy(r->prefix, k->b, r->prefix_len);
	rocksdb_iter_seek(r->it, (const char *)k->b, k->len);
}

void rows_table(struct fsck *f, struct row *r, char table)
{
	struct fkey k;

	rows_begin(f, r, key_begin(&k, table));
}

bool rows_valid(struct row *r)
{
	if (!rocksdb_iter_valid(r->it))
		return false;
	r->key = (const uint8_t *)rocksdb_iter_key(r->it, &r->klen);
	if (r->klen < r->prefix_len || memcmp(r->key, r->prefix, r->prefix_len))
		return false;
	r->val = (const uint8_t *)rocksdb_iter_value(r->it, &r->vlen);
	return true;
}

void rows_next(struct row *r)
{
	rocksdb_iter_next(r->it);
}

void rows_end(struct fsck *f, struct row *r)
{
	char *err = NULL;

	rocksdb_iter_get_error(r->it, &err);
	if (err) {
		if (!f->read_error)
			warn("reading the store: %s: restore from a backup (orchctl restore)",
			     err);
		f->read_error = true;
		rocksdb_free(err);
	}
	rocksdb_iter_destroy(r->it);
}

void *db_get(struct fsck *f, const struct fkey *k, size_t *len)
{
	const char *key = (const char *)k->b;
	char *err = NULL, *v;

	if (f->overlay)
		v = rocksdb_writebatch_wi_get_from_batch_and_db(f->overlay,
				f->db, f->read, key, k->len, len, &err);
	else
		v = rocksdb_get(f->db, f->read, key, k->len, len, &err);
	if (err) {
		if (!f->read_error)
			warn("reading the store: %s", err);
		f->read_error = true;
		rocksdb_free(err);
		return NULL;
	}
	return v;
}

bool db_has(struct fsck *f, const struct fkey *k)
{
	size_t len;
	void *v = db_get(f, k, &len);

	free(v);
	return v != NULL;
}

static void op_add(struct fsck *f, bool del, const struct fkey *k,
		   const void *v, size_t len)
{
	struct fop *op = xcalloc(1, sizeof(*op) + k->len + len);

	op->del = del;
	op->klen = k->len;
	op->vlen = len;
	memcpy(op->data, k->b, k->len);
	if (len)
		memcpy(op->data + k->len, v, len);
	if (!f->ops)
		f->ops_end = &f->ops;
	*f->ops_end = op;
	f->ops_end = &op->next;
	f->nr_ops++;
}

void op_put(struct fsck *f, const struct fkey *k, const void *v, size_t len)
{
	op_add(f, false, k, v, len);
}

void op_put_msg(struct fsck *f, const struct fkey *k,
		const ProtobufCMessage *msg)
{
	size_t len = protobuf_c_message_get_packed_size(msg);
	uint8_t *buf = xcalloc(len, 1);

	protobuf_c_message_pack(msg, buf);
	op_put(f, k, buf, len);
	free(buf);
}

void op_del(struct fsck *f, const struct fkey *k)
{
	op_add(f, true, k, NULL, 0);
}

size_t db_apply(struct fsck *f)
{
	size_t nr = f->nr_ops;
	struct fop *op;

	while ((op = f->ops)) {
		const char *key = (const char *)op->data;

		f->ops = op->next;
		if (f->overlay && op->del)
			rocksdb_writebatch_wi_delete(f->overlay, key, op->klen);
		else if (f->overlay)
			rocksdb_writebatch_wi_put(f->overlay, key, op->klen,
						  key + op->klen, op->vlen);
		free(op);
	}
	f->nr_ops = 0;
	return nr;
}

/*
 * The daemon may keep things in mind over an orderly stop: after a repair the
 * stop was none.
 */
static void put_super(struct fsck *f)
{
	Orchfs__Store__Super *super;
	struct fkey k;
	uint8_t *v;
	size_t len;

	key_bytes(key_begin(&k, 'S'), "super", 5);
	v = db_get(f, &k, &len);
	super = v ? orchfs__store__super__unpack(NULL, len, v) : NULL;
	free(v);
	if (!super)
		return;
	super->clean = 0;
	op_put_msg(f, &k, &super->base);
	orchfs__store__super__free_unpacked(super, NULL);
}

int db_commit(struct fsck *f)
{
	rocksdb_writeoptions_t *wo;
	uint64_t seq = htole64(f->next_seq);
	char *err = NULL;
	struct fkey k;

	put_super(f);
	op_put(f, key_bytes(key_begin(&k, 'S'), "seq", 3), &seq, sizeof(seq));
	db_apply(f);
	wo = rocksdb_writeoptions_create();
	rocksdb_writeoptions_set_sync(wo, 1);
	rocksdb_write_writebatch_wi(f->db, wo, f->overlay, &err);
	rocksdb_writeoptions_destroy(wo);
	if (err)
		return db_error("the repair could not be written, nothing was changed",
				err);
	rocksdb_writebatch_wi_clear(f->overlay);
	return RC_OK;
}
