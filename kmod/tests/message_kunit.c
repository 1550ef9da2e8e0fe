// SPDX-License-Identifier: GPL-2.0-only
/*
 * Messages: what a daemon sends is checked before anybody uses it, and what
 * the kernel sends holds what was asked.
 */
#include <kunit/test.h>
#include <net/net_namespace.h>

#include "channel.h"
#include "nl_gen.h"

static void test_names(struct kunit *test)
{
	char longest[256];

	memset(longest, 'x', sizeof(longest));
	KUNIT_EXPECT_TRUE(test, orchfs_name_valid("a", 1));
	KUNIT_EXPECT_TRUE(test, orchfs_name_valid("...", 3));
	KUNIT_EXPECT_TRUE(test, orchfs_name_valid(".a", 2));
	KUNIT_EXPECT_TRUE(test, orchfs_name_valid(longest, 255));
	KUNIT_EXPECT_FALSE(test, orchfs_name_valid(longest, 256));
	KUNIT_EXPECT_FALSE(test, orchfs_name_valid("", 0));
	KUNIT_EXPECT_FALSE(test, orchfs_name_valid(".", 1));
	KUNIT_EXPECT_FALSE(test, orchfs_name_valid("..", 2));
	KUNIT_EXPECT_FALSE(test, orchfs_name_valid("a/b", 3));
	KUNIT_EXPECT_FALSE(test, orchfs_name_valid("a\0b", 3));
}

static struct orchfs_attr good_attr(void)
{
	return (struct orchfs_attr){
		.ino = 42, .mode = S_IFREG | 0644, .nlink = 1,
		.atime_nsec = NSEC_PER_SEC - 1,
	};
}

static void test_attrs(struct kunit *test)
{
	struct orchfs_attr a = good_attr();

	KUNIT_EXPECT_TRUE(test, orchfs_attr_valid(&a));
	a.ino = 0;
	KUNIT_EXPECT_FALSE(test, orchfs_attr_valid(&a));
	a = good_attr();
	a.mode = 0644;
	KUNIT_EXPECT_FALSE(test, orchfs_attr_valid(&a));
	a.mode = S_IFREG | 0x100000;
	KUNIT_EXPECT_FALSE(test, orchfs_attr_valid(&a));
	a = good_attr();
	a.size = 1ULL << 63;
	KUNIT_EXPECT_FALSE(test, orchfs_attr_valid(&a));
	a = good_attr();
	a.mtime_nsec = NSEC_PER_SEC;
	KUNIT_EXPECT_FALSE(test, orchfs_attr_valid(&a));
	a = good_attr();
	a.uid = -1;
	KUNIT_EXPECT_FALSE(test, orchfs_attr_valid(&a));
	a = good_attr();
	a.reserved = 1;
	KUNIT_EXPECT_FALSE(test, orchfs_attr_valid(&a));
	a = good_attr();
	a.flags = 1U << 31;
	KUNIT_EXPECT_FALSE(test, orchfs_attr_valid(&a));
	a = good_attr();
	a.rdev_minor = 1U << 20;
	KUNIT_EXPECT_FALSE(test, orchfs_attr_valid(&a));
}

/* A readdir reply as it comes from the socket. */
struct listing {
	struct sk_buff *skb;
	struct nlattr *nest;
	struct orchfs_result res;
};

static void listing_start(struct kunit *test, struct listing *l)
{
	memset(l, 0, sizeof(*l));
	l->skb = nlmsg_new(8192, GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, l->skb);
}

static void listing_add(struct kunit *test, struct listing *l,
			const char *name, size_t len, bool cookie)
{
	struct orchfs_attr attr = good_attr();
	u64 value = 5;

	l->nest = nla_nest_start(l->skb, ORCHFS_A_MSG_ENTRY);
	KUNIT_ASSERT_NOT_NULL(test, l->nest);
	KUNIT_ASSERT_EQ(test, 0, nla_put(l->skb, ORCHFS_A_ENTRY_NAME, len,
					 name));
	if (cookie)
		KUNIT_ASSERT_EQ(test, 0, nla_put(l->skb, ORCHFS_A_ENTRY_COOKIE,
						 sizeof(value), &value));
	KUNIT_ASSERT_EQ(test, 0, nla_put(l->skb, ORCHFS_A_ENTRY_ATTR,
					 sizeof(attr), &attr));
	nla_nest_end(l->skb, l->nest);
}

static int count_entry(void *arg, const struct orchfs_dirent *de)
{
	int *left = arg;

	return (*left)-- <= 0;
}

static int listing_walk(struct listing *l, int max)
{
	l->res.skb = l->skb;
	l->res.attrs = (struct nlattr *)l->skb->data;
	l->res.attrs_len = l->skb->len;
	return orchfs_result_entries(&l->res, count_entry, &max);
}

static void test_entries(struct kunit *test)
{
	struct listing l;

	listing_start(test, &l);
	listing_add(test, &l, "one", 3, true);
	listing_add(test, &l, "two", 3, true);
	KUNIT_EXPECT_EQ(test, listing_walk(&l, 10), 2);
	KUNIT_EXPECT_EQ(test, listing_walk(&l, 1), 1);
	orchfs_result_free(&l.res);
	KUNIT_EXPECT_NULL(test, l.res.skb);

	listing_start(test, &l);
	listing_add(test, &l, "..", 2, true);
	KUNIT_EXPECT_EQ(test, listing_walk(&l, 10), -EPROTO);
	orchfs_result_free(&l.res);

	listing_start(test, &l);
	listing_add(test, &l, "one", 3, false);
	KUNIT_EXPECT_EQ(test, listing_walk(&l, 10), -EPROTO);
	orchfs_result_free(&l.res);

	/* An attribute that says it is longer than the message. */
	listing_start(test, &l);
	listing_add(test, &l, "one", 3, true);
	l.nest->nla_len += 8;
	KUNIT_EXPECT_EQ(test, listing_walk(&l, 10), 0);
	orchfs_result_free(&l.res);
}

static void test_value(struct kunit *test)
{
	struct orchfs_result res = {};
	struct sk_buff *skb;
	char buf[8];

	skb = nlmsg_new(256, GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, skb);
	KUNIT_EXPECT_EQ(test, orchfs_result_value(&res, buf, sizeof(buf)), 0);
	KUNIT_ASSERT_EQ(test, 0, nla_put(skb, ORCHFS_A_MSG_XATTR_VALUE, 5,
					 "hello"));
	KUNIT_ASSERT_EQ(test, 0, nla_put(skb, ORCHFS_A_MSG_XATTR_VALUE, 3,
					 "you"));
	res.skb = skb;
	res.attrs = (struct nlattr *)skb->data;
	res.attrs_len = skb->len;
	KUNIT_EXPECT_EQ(test, orchfs_result_value(&res, NULL, 0), 8);
	KUNIT_EXPECT_EQ(test, orchfs_result_value(&res, buf, 7), -ERANGE);
	KUNIT_EXPECT_EQ(test, orchfs_result_value(&res, buf, 8), 8);
	KUNIT_EXPECT_EQ(test, memcmp(buf, "helloyou", 8), 0);
	orchfs_result_free(&res);
}

/* The estimate of the size holds for the largest request there is. */
static void test_largest_request(struct kunit *test)
{
	static const u8 uuid[16] = "message-kunit..";
	struct orchfs_attr attr = good_attr();
	struct orchfs_request req = { .slot = 3, .sequence = 9, .id = 77 };
	struct orchfs_xattr xattrs[3];
	struct orchfs_channel *ch;
	struct qstr name;
	char *text, *value;
	u32 kind;
	int i;

	ch = orchfs_channel_new(&init_net, uuid, "kunit");
	KUNIT_ASSERT_NOT_NULL(test, ch);
	text = kunit_kzalloc(test, 4096, GFP_KERNEL);
	value = kunit_kzalloc(test, XATTR_SIZE_MAX, GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, text);
	KUNIT_ASSERT_NOT_NULL(test, value);
	memset(text, 't', 4095);
	name = (struct qstr)QSTR_INIT(text, 255);
	for (i = 0; i < ARRAY_SIZE(xattrs); i++)
		xattrs[i] = (struct orchfs_xattr){
			.name = text + 4095 - 255, .value = value,
			.len = ORCHFS_CHUNK_MAX + i,
		};

	for (kind = 1; kind <= ORCHFS_KIND_STATFS; kind++) {
		struct orchfs_args args = {
			.kind = kind, .node = -1, .node2 = -1,
			.name = &name, .name2 = &name, .target = text,
			.rdev = MKDEV(1, 1), .attr = &attr, .has_now = true,
			.xattr_name = text + 4095 - 255, .xattr_value = value,
			.xattr_len = XATTR_SIZE_MAX, .xattrs = xattrs,
			.nr_xattrs = ARRAY_SIZE(xattrs), .valid = -1,
			.flags = ORCHFS_REQ_FLAG_WHITEOUT,
		};

		KUNIT_EXPECT_EQ(test, orchfs_message_request(ch, &args, &req),
				0);
		kfree_skb(req.msg);
		name.len = 256;
		KUNIT_EXPECT_EQ(test, orchfs_message_request(ch, &args, &req),
				-ENAMETOOLONG);
		name.len = 255;
	}
	orchfs_channel_put(ch);
}

static struct kunit_case message_cases[] = {
	KUNIT_CASE(test_names),
	KUNIT_CASE(test_attrs),
	KUNIT_CASE(test_entries),
	KUNIT_CASE(test_value),
	KUNIT_CASE(test_largest_request),
	{}
};

static struct kunit_suite message_suite = {
	.name = "orchfs-message",
	.test_cases = message_cases,
};

kunit_test_suite(message_suite);
