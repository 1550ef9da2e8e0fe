// SPDX-License-Identifier: Apache-2.0
/*
 * Makes a small good store with its volume, or damages one in a named way.
 *   mkstore make STORE VOLUME [EXTRA-LINKS]
 *   mkstore damage STORE VOLUME KIND
 *   mkstore kinds
 */
#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <rocksdb/c.h>

#include "orchctl.h"
#include "fsck.h"
#include "mkstore.h"

struct options opts;
char *vol_path;
static rocksdb_t *db;
static rocksdb_writebatch_t *batch;
static const uint8_t ns_uuid[16] = "namespace-uuid-0";
static const uint8_t vol_uuid[16] = "volume-uuid-0000";
static const uint8_t hash_key[16] = "0123456789abcdef";

struct k key(char table, int numbers, ...)
{
	struct k k = { .n = 1 };
	uint64_t v;
	va_list ap;

	k.b[0] = (uint8_t)table;
	va_start(ap, numbers);
	while (numbers--) {
		v = htobe64(va_arg(ap, uint64_t));
		memcpy(k.b + k.n, &v, 8);
		k.n += 8;
	}
	va_end(ap);
	return k;
}

static struct k add(struct k k, const void *p, size_t n)
{
	memcpy(k.b + k.n, p, n);
	k.n += n;
	return k;
}

static struct k add32(struct k k, uint32_t v)
{
	v = htobe32(v);
	return add(k, &v, 4);
}

static struct k add64(struct k k, uint64_t v)
{
	v = htobe64(v);
	return add(k, &v, 8);
}

static void die(const char *what, const char *why)
{
	fprintf(stderr, "mkstore: %s: %s\n", what, why);
	exit(1);
}

void put(struct k k, const void *v, size_t len)
{
	rocksdb_writebatch_put(batch, (char *)k.b, k.n, v, len);
}

void put_msg(struct k k, const ProtobufCMessage *m)
{
	uint8_t buf[1024];

	put(k, buf, protobuf_c_message_pack(m, buf));
}

void del(struct k k)
{
	rocksdb_writebatch_delete(batch, (char *)k.b, k.n);
}

void *get(struct k k, size_t *len)
{
	rocksdb_readoptions_t *ro = rocksdb_readoptions_create();
	char *err = NULL, *v;

	v = rocksdb_get(db, ro, (char *)k.b, k.n, len, &err);
	rocksdb_readoptions_destroy(ro);
	if (err || !v)
		die("get", err ? err : "no such key");
	return v;
}

static void commit(void)
{
	rocksdb_writeoptions_t *wo = rocksdb_writeoptions_create();
	char *err = NULL;

	rocksdb_write(db, wo, batch, &err);
	if (err)
		die("write", err);
	rocksdb_writebatch_clear(batch);
	rocksdb_writeoptions_destroy(wo);
}

uint64_t cookie_of(const char *name)
{
	uint64_t h = siphash24(hash_key, name, strlen(name)) >> 9;

	return (h ? h : 1) << 8;
}

void put_entry(uint64_t parent, uint64_t cookie, const char *name, uint64_t ino,
	       uint32_t type)
{
	Orchfs__Store__Entry e = ORCHFS__STORE__ENTRY__INIT;

	e.change = SEQ;
	e.ino = ino;
	e.type = type;
	e.name.data = (uint8_t *)name;
	e.name.len = strlen(name);
	put_msg(key('E', 2, parent, cookie), &e.base);
}

void put_reverse(uint64_t ino, uint64_t parent, uint64_t cookie,
		 const char *name)
{
	Orchfs__Store__Reverse r = ORCHFS__STORE__REVERSE__INIT;

	r.change = SEQ;
	r.name.data = (uint8_t *)name;
	r.name.len = strlen(name);
	put_msg(key('R', 3, ino, parent, cookie), &r.base);
}

static void name_it(uint64_t parent, const char *name, uint64_t ino,
		    uint32_t mode)
{
	uint64_t c = cookie_of(name);

	put_entry(parent, c, name, ino, (mode & S_IFMT) >> 12);
	put_reverse(ino, parent, c, name);
}

static void inode(uint64_t ino, uint32_t mode, uint32_t nlink, uint64_t parent,
		  uint64_t size, const char *target, uint32_t flags)
{
	Orchfs__Store__Inode i = ORCHFS__STORE__INODE__INIT;
	Orchfs__Store__Time t = ORCHFS__STORE__TIME__INIT;
	uint8_t tier = 0;

	t.sec = 86400 * 20000;
	i.change = SEQ;
	i.generation = 1;
	i.mode = mode;
	i.uid = 1000;
	i.nlink = nlink;
	i.size = size;
	i.atime = i.mtime = i.ctime = i.btime = &t;
	i.flags = flags;
	i.parent = parent;
	i.version = S_ISREG(mode) ? 1 : 0;
	if (target) {
		i.target.data = (uint8_t *)target;
		i.target.len = strlen(target);
	}
	put_msg(key('I', 1, ino), &i.base);
	put(key('C', 2, (uint64_t)SEQ, ino), "", 0);
	put(add64(add32(key('U', 0), 1000), ino), "", 0);
	if (S_ISREG(mode))
		put(add64(add32(add(key('H', 0), &tier, 1), 20000), ino), "",
		    0);
}

void backing_path(char *out, size_t size, uint64_t ino, uint64_t version,
		  uint64_t instance)
{
	snprintf(out, size, "%s/data/%02x/%" PRIx64 ".%" PRIx64 ".%" PRIx64,
		 vol_path, (unsigned int)(ino >> 8 & 0xff), ino, version,
		 instance);
}

void backing_file(uint64_t ino, uint64_t version, uint64_t instance,
		  const char *text)
{
	char path[4200];
	int fd;

	backing_path(path, sizeof(path), ino, version, instance);
	fd = open(path, O_CREAT | O_TRUNC | O_WRONLY, 0600);
	if (fd < 0 || write(fd, text, strlen(text)) != (ssize_t)strlen(text))
		die(path, strerror(errno));
	close(fd);
}

static void regular(uint64_t ino, uint32_t nlink, const char *text,
		    uint32_t flags)
{
	Orchfs__Store__Version v = ORCHFS__STORE__VERSION__INIT;
	Orchfs__Store__Instance n = ORCHFS__STORE__INSTANCE__INIT;

	inode(ino, S_IFREG | 0644, nlink, 0, strlen(text), NULL, flags);
	v.change = n.change = SEQ;
	put_msg(key('V', 2, ino, (uint64_t)1), &v.base);
	n.volume = 1;
	n.state = ORCHFS__STORE__INSTANCE_STATE__INSTANCE_VALID;
	put_msg(key('N', 3, ino, (uint64_t)1, (uint64_t)INSTANCE_OF(ino)),
		&n.base);
	backing_file(ino, 1, INSTANCE_OF(ino), text);
}

static void counter(const char *name, uint64_t limit)
{
	Orchfs__Store__Counter c = ORCHFS__STORE__COUNTER__INIT;

	c.limit = limit;
	put_msg(add(key('A', 0), name, strlen(name)), &c.base);
}

void put_marker(uint64_t txn, uint32_t volume)
{
	Orchfs__Store__Marker m = ORCHFS__STORE__MARKER__INIT;
	uint8_t buf[512], *p = buf;
	char path[4200];
	uint32_t crc;
	FILE *out;
	size_t n;

	m.format = 1;
	m.namespace_uuid.data = (uint8_t *)ns_uuid;
	m.namespace_uuid.len = 16;
	m.namespace_name = "test";
	m.volume_uuid.data = (uint8_t *)vol_uuid;
	m.volume_uuid.len = 16;
	m.volume = volume;
	m.durable_txn = txn;
	p += sprintf((char *)p, "orchfs volume 1\n");
	n = protobuf_c_message_pack(&m.base, p);
	crc = htole32(crc32c(p, n));
	memcpy(p + n, &crc, 4);
	snprintf(path, sizeof(path), "%s/.orchfs-volume", vol_path);
	out = fopen(path, "w");
	if (!out || !fwrite(buf, p + n + 4 - buf, 1, out) || fclose(out))
		die(path, strerror(errno));
}

static void supers(void)
{
	Orchfs__Store__Super s = ORCHFS__STORE__SUPER__INIT;
	Orchfs__Store__Volume v = ORCHFS__STORE__VOLUME__INIT;
	uint64_t seq = htole64(SEQ);

	s.format = 1;
	s.uuid.data = (uint8_t *)ns_uuid;
	s.hash_key.data = (uint8_t *)hash_key;
	s.uuid.len = s.hash_key.len = 16;
	s.name = "test";
	s.clean = 1;
	put_msg(add(key('S', 0), "super", 5), &s.base);
	put(add(key('S', 0), "seq", 3), &seq, 8);
	counter("ino", INO_LIMIT);
	counter("instance", INSTANCE_LIMIT);
	counter("volume", 10);
	counter("deletion", 10);
	counter("layout", 100);
	v.change = 1;
	v.name = "nvme0";
	v.path = vol_path;
	v.uuid.data = (uint8_t *)vol_uuid;
	v.uuid.len = 16;
	put_msg(add32(key('L', 0), 1), &v.base);
	put_marker(SEQ - 10, 1);
}

static void pool_and_deletion(void)
{
	Orchfs__Store__PoolRange p = ORCHFS__STORE__POOL_RANGE__INIT;
	Orchfs__Store__Deletion d = ORCHFS__STORE__DELETION__INIT;
	Orchfs__Store__Session m = ORCHFS__STORE__SESSION__INIT;
	Orchfs__Store__Slot t = ORCHFS__STORE__SLOT__INIT;

	p.first_ino = POOL_FIRST;
	p.count = 10;
	p.first_instance = INSTANCE_OF(POOL_FIRST);
	put_msg(add64(add32(key('P', 0), 1), POOL_FIRST), &p.base);
	backing_file(POOL_FIRST, 1, INSTANCE_OF(POOL_FIRST), "");
	backing_file(POOL_FIRST + 9, 1, INSTANCE_OF(POOL_FIRST) + 9, "");
	d.volume = 1;
	d.ino = 20;
	d.version = 1;
	d.instance = INSTANCE_OF(20);
	put_msg(key('D', 1, (uint64_t)3), &d.base);
	backing_file(20, 1, INSTANCE_OF(20), "going");
	m.boot_id = "boot";
	put_msg(key('M', 1, (uint64_t)77), &m.base);
	put_msg(add32(key('T', 1, (uint64_t)77), 5), &t.base);
}

static void many(uint64_t nr)
{
	uint64_t i, ino;
	char name[32];

	for (i = 0; i < nr; i++) {
		ino = 100000 + i;
		snprintf(name, sizeof(name), "link-%" PRIu64, i);
		inode(ino, S_IFLNK | 0777, 1, 0, 1, "x", 0);
		name_it(DIR_B, name, ino, S_IFLNK);
		if (i % 10000 == 0)
			commit();
	}
	if (nr)
		counter("ino", 100000 + nr);
}

static void make(uint64_t extra)
{
	Orchfs__Store__Orphan o = ORCHFS__STORE__ORPHAN__INIT;
	char path[4200];

	if (mkdir(vol_path, 0700))
		die(vol_path, strerror(errno));
	snprintf(path, sizeof(path), "%s/data", vol_path);
	mkdir(path, 0700);
	snprintf(path, sizeof(path), "%s/data/00", vol_path);
	mkdir(path, 0700);
	snprintf(path, sizeof(path), "%s/quarantine", vol_path);
	mkdir(path, 0700);
	supers();
	inode(ROOT, S_IFDIR | 0755, 3, 1, 0, NULL, 0);
	inode(DIR_A, S_IFDIR | 0755, 3, 1, 0, NULL, 0);
	inode(DIR_B, S_IFDIR | 0755, 2, DIR_A, 0, NULL, 0);
	name_it(ROOT, "a", DIR_A, S_IFDIR);
	name_it(DIR_A, "b", DIR_B, S_IFDIR);
	regular(FILE_1, 1, "hello", 0);
	name_it(DIR_A, "file1", FILE_1, S_IFREG);
	regular(FILE_2, 2, "two names", 0);
	name_it(DIR_A, "file2", FILE_2, S_IFREG);
	name_it(DIR_B, "other", FILE_2, S_IFREG);
	inode(LINK, S_IFLNK | 0777, 1, 0, 5, "file1", 0);
	name_it(DIR_A, "link", LINK, S_IFLNK);
	inode(FIFO, S_IFIFO | 0600, 1, 0, 0, NULL, 0);
	name_it(ROOT, "fifo", FIFO, S_IFIFO);
	regular(ORPHAN, 0, "deleted", 0);
	o.change = SEQ;
	o.session = 77;
	put_msg(key('O', 1, (uint64_t)ORPHAN), &o.base);
	regular(CAP, 1, "#!", 3);
	name_it(ROOT, "program", CAP, S_IFREG);
	put(add(key('X', 1, (uint64_t)CAP), "security.capability", 19), "cap",
	    3);
	pool_and_deletion();
	many(extra);
}

int main(int argc, char **argv)
{
	rocksdb_options_t *o = rocksdb_options_create();
	char path[4096], *err = NULL;
	bool making = argc > 3 && !strcmp(argv[1], "make");
	int rc = 0;

	if (argc == 2 && !strcmp(argv[1], "kinds")) {
		damage_list();
		return 0;
	}
	if (!making && argc < 5)
		return 2;
	vol_path = argv[3];
	if (making && mkdir(argv[2], 0700))
		die(argv[2], strerror(errno));
	snprintf(path, sizeof(path), "%s/lock", argv[2]);
	close(open(path, O_CREAT | O_RDWR, 0600));
	snprintf(path, sizeof(path), "%s/db", argv[2]);
	rocksdb_options_set_create_if_missing(o, making);
	rocksdb_options_set_compression(o, rocksdb_no_compression);
	db = rocksdb_open(o, path, &err);
	if (err)
		die(path, err);
	batch = rocksdb_writebatch_create();
	if (making)
		make(argc > 4 ? strtoull(argv[4], NULL, 0) : 0);
	else
		rc = damage(argv[4]);
	commit();
	rocksdb_close(db);
	if (making) {
		snprintf(path, sizeof(path), "echo %d >%s/synced", SEQ,
			 argv[2]);
		return system(path);
	}
	return rc;
}
