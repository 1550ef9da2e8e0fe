// SPDX-License-Identifier: GPL-2.0-only
/*
 * Make a layout of what the daemon sent, in its own context: the descriptors
 * are of its table. Nothing of what it says is believed.
 */
#include <linux/cred.h>
#include <linux/file.h>
#include <linux/magic.h>
#include <net/netlink.h>

#include "channel.h"
#include "layout.h"
#include "nl_gen.h"
#include "remote.h"

static int decode_refuse(struct netlink_ext_ack *extack,
			 const struct nlattr *nla, const char *why)
{
	NL_SET_BAD_ATTR(extack, nla);
	if (extack)
		extack->_msg = why;
	return -EPROTO;
}

/* What a backing file has to be. */
static const char *decode_file_fault(const struct file *file, bool writable)
{
	const struct inode *inode = file_inode(file);

	if (!S_ISREG(inode->i_mode))
		return "backing file is not a regular file";
	if (inode->i_sb->s_magic == ORCHFS_SUPER_MAGIC)
		return "backing file is on orchfs";
	/* One level is orchfs itself. */
	if (inode->i_sb->s_stack_depth + 1 >= FILESYSTEM_MAX_STACK_DEPTH)
		return "backing file is on a stacked file system";
	if (!file->f_op->read_iter || !file->f_op->write_iter)
		return "backing file can't be read and written by the kernel";
	if (!(file->f_mode & FMODE_READ))
		return "backing file is not open for reading";
	if (writable && !(file->f_mode & FMODE_WRITE))
		return "backing file is not open for writing";
	return NULL;
}

static int decode_anchor(const struct nlattr *nla, bool writable,
			 struct orchfs_mirror *m,
			 struct netlink_ext_ack *extack)
{
	struct file *file = fget(nla_get_u32(nla));
	const char *fault;
	int ret = 0;

	if (!file)
		return decode_refuse(extack, nla, "no such descriptor");
	fault = decode_file_fault(file, writable);
	if (fault) {
		ret = decode_refuse(extack, nla, fault);
	} else {
		m->f_mode = file->f_mode;
		m->anchor = file->f_path;
		path_get(&m->anchor);
	}
	fput(file);
	return ret;
}

static const char *decode_token_fault(const struct orchfs_channel *ch,
				      const struct orchfs_remote_id *id,
				      bool writable, const u8 *buf)
{
	struct orchfs_token token;

	if (orchfs_token_decode(buf, ORCHFS_TOKEN_LEN, &token))
		return "not a token";
	if (memcmp(token.ns_uuid, ch->uuid, sizeof(token.ns_uuid)) ||
	    token.volume != id->volume || token.ino != id->ino ||
	    token.version != id->version || token.instance != id->instance)
		return "token is for something else";
	if (!(token.rights & ORCHFS_RIGHT_READ) ||
	    (writable && !(token.rights & ORCHFS_RIGHT_WRITE)))
		return "token doesn't grant what the layout does";
	return NULL;
}

static int decode_remote(struct nlattr **tb, const struct nlattr *nest,
			 struct orchfs_channel *ch, bool writable,
			 struct orchfs_mirror *m,
			 struct netlink_ext_ack *extack)
{
	struct orchfs_remote_id id = {
		.volume = m->volume,
		.instance = m->instance,
	};
	const char *fault;
	const u8 *token;

	BUILD_BUG_ON(ORCHFS_MIRROR_TOKEN_LEN != ORCHFS_TOKEN_LEN);
	if (!tb[ORCHFS_A_MIRROR_PEER] || !tb[ORCHFS_A_MIRROR_NODE] ||
	    !tb[ORCHFS_A_MIRROR_VERSION] || !tb[ORCHFS_A_MIRROR_TOKEN])
		return decode_refuse(extack, nest, "mirror is incomplete");
	id.ino = nla_get_u64(tb[ORCHFS_A_MIRROR_NODE]);
	id.version = nla_get_u64(tb[ORCHFS_A_MIRROR_VERSION]);
	token = nla_data(tb[ORCHFS_A_MIRROR_TOKEN]);
	fault = decode_token_fault(ch, &id, writable, token);
	if (fault)
		return decode_refuse(extack, tb[ORCHFS_A_MIRROR_TOKEN], fault);
	m->f_mode = FMODE_READ | FMODE_CAN_ODIRECT |
		    (writable ? FMODE_WRITE : 0);
	return orchfs_remote_anchor(ch->net, ch->uuid,
				    nla_get_u32(tb[ORCHFS_A_MIRROR_PEER]), &id,
				    token, &m->anchor);
}

static int decode_mirror(const struct nlattr *nest, struct orchfs_channel *ch,
			 bool writable, struct orchfs_mirror *m,
			 struct netlink_ext_ack *extack)
{
	struct nlattr *tb[ORCHFS_A_MIRROR_TOKEN + 1];
	int ret;

	ret = nla_parse_nested(tb, ORCHFS_A_MIRROR_TOKEN, nest,
			       orchfs_mirror_nl_policy, extack);
	if (ret)
		return ret;
	if (!tb[ORCHFS_A_MIRROR_KIND] || !tb[ORCHFS_A_MIRROR_VOLUME] ||
	    !tb[ORCHFS_A_MIRROR_INSTANCE])
		return decode_refuse(extack, nest, "mirror is incomplete");
	m->kind = nla_get_u32(tb[ORCHFS_A_MIRROR_KIND]);
	m->volume = nla_get_u32(tb[ORCHFS_A_MIRROR_VOLUME]);
	m->instance = nla_get_u64(tb[ORCHFS_A_MIRROR_INSTANCE]);
	if (!m->instance)
		return decode_refuse(extack, nest,
				     "mirror's kind or instance is unknown");
	switch (m->kind) {
	case ORCHFS_MIRROR_KIND_LOCAL:
		if (!tb[ORCHFS_A_MIRROR_FD])
			break;
		return decode_anchor(tb[ORCHFS_A_MIRROR_FD], writable, m,
				     extack);
	case ORCHFS_MIRROR_KIND_REMOTE:
		return decode_remote(tb, nest, ch, writable, m, extack);
	}
	return decode_refuse(extack, nest, "mirror is incomplete");
}

static int decode_segment(const struct nlattr *nest, struct orchfs_channel *ch,
			  struct orchfs_layout *lay, struct orchfs_segment *seg,
			  u32 *at, struct netlink_ext_ack *extack)
{
	struct nlattr *tb[ORCHFS_A_SEGMENT_MIRROR + 1];
	const struct nlattr *nla;
	int ret, rem;

	ret = nla_parse_nested(tb, ORCHFS_A_SEGMENT_MIRROR, nest,
			       orchfs_segment_nl_policy, extack);
	if (ret)
		return ret;
	if (!tb[ORCHFS_A_SEGMENT_OFFSET] || !tb[ORCHFS_A_SEGMENT_LENGTH])
		return decode_refuse(extack, nest, "segment is incomplete");
	seg->offset = nla_get_u64(tb[ORCHFS_A_SEGMENT_OFFSET]);
	seg->length = nla_get_u64(tb[ORCHFS_A_SEGMENT_LENGTH]);
	seg->first_mirror = *at;
	nla_for_each_nested_type(nla, ORCHFS_A_SEGMENT_MIRROR, nest, rem) {
		ret = decode_mirror(nla, ch, lay->writable, &lay->mirrors[*at],
				    extack);
		if (ret)
			return ret;
		(*at)++;
		seg->nr_mirrors++;
	}
	return 0;
}

/*
 * What the data path of this module can do: all segments in one place, and no
 * second copy to write.
 */
static int decode_supported(const struct nlattr *nest,
			    struct orchfs_layout *lay,
			    struct netlink_ext_ack *extack)
{
	u32 i;

	if (!lay->nr_segs)
		return 0;
	lay->instance = orchfs_layout_first(lay)->instance;
	lay->inode = d_inode(orchfs_layout_first(lay)->anchor.dentry);
	for (i = 0; i < lay->nr_segs; i++) {
		const struct orchfs_segment *seg = &lay->segs[i];
		const struct orchfs_mirror *m =
			&lay->mirrors[seg->first_mirror];

		if (m->instance != lay->instance ||
		    d_inode(m->anchor.dentry) != lay->inode)
			return decode_refuse(extack, nest,
				"segments on several instances are not supported");
		if (lay->writable && seg->nr_mirrors > 1)
			return decode_refuse(extack, nest,
				"writing to several mirrors is not supported");
	}
	return 0;
}

static int decode_segments(const struct nlattr *nest, struct orchfs_channel *ch,
			   struct orchfs_layout *lay,
			   struct netlink_ext_ack *extack)
{
	const struct nlattr *nla;
	const char *why;
	u32 seg = 0, mirror = 0;
	int ret, rem;

	nla_for_each_nested_type(nla, ORCHFS_A_LAYOUT_SEGMENT, nest, rem) {
		ret = decode_segment(nla, ch, lay, &lay->segs[seg++], &mirror,
				     extack);
		if (ret)
			return ret;
	}
	ret = orchfs_layout_check(lay->segs, lay->nr_segs, lay->nr_mirrors,
				  &why);
	if (ret)
		return decode_refuse(extack, nest, why);
	return decode_supported(nest, lay, extack);
}

static int decode_count(const struct nlattr *nest, u32 *segs, u32 *mirrors,
			struct netlink_ext_ack *extack)
{
	const struct nlattr *seg, *nla;
	int rem, rem2;

	nla_for_each_nested_type(seg, ORCHFS_A_LAYOUT_SEGMENT, nest, rem) {
		if (++(*segs) > ORCHFS_SEGMENTS_MAX)
			return decode_refuse(extack, seg, "too many segments");
		nla_for_each_nested_type(nla, ORCHFS_A_SEGMENT_MIRROR, seg,
					 rem2)
			(*mirrors)++;
		if (*mirrors > *segs * ORCHFS_MIRRORS_MAX)
			return decode_refuse(extack, seg, "too many mirrors");
	}
	return 0;
}

/**
 * orchfs_layout_decode() - make a layout of what the daemon sent
 * @ch: of its message
 * @nest: attribute "layout" of that
 * @out: the layout with one reference, on success
 * @extack: gets the reason on failure; may be NULL
 *
 * Runs in the context of the daemon that sent the message: its descriptors and
 * its credentials are meant. May sleep. No segment at all makes a layout that
 * blocks I/O.
 *
 * Return: 0; -EPROTO for what can't be accepted; -ENOMEM; -EINVAL and -ERANGE
 * for what isn't even well-formed.
 */
int orchfs_layout_decode(struct orchfs_channel *ch, const struct nlattr *nest,
			 struct orchfs_layout **out,
			 struct netlink_ext_ack *extack)
{
	struct nlattr *tb[ORCHFS_A_LAYOUT_SEGMENT + 1];
	struct orchfs_layout *lay;
	u32 segs = 0, mirrors = 0;
	int ret;

	ret = nla_parse_nested(tb, ORCHFS_A_LAYOUT_SEGMENT, nest,
			       orchfs_layout_nl_policy, extack);
	if (ret)
		return ret;
	if (!tb[ORCHFS_A_LAYOUT_GENERATION] ||
	    !nla_get_u64(tb[ORCHFS_A_LAYOUT_GENERATION]))
		return decode_refuse(extack, nest, "layout has no generation");
	ret = decode_count(nest, &segs, &mirrors, extack);
	if (ret)
		return ret;
	lay = orchfs_layout_alloc(segs, mirrors);
	if (!lay)
		return -ENOMEM;
	lay->cred = get_current_cred();
	lay->generation = nla_get_u64(tb[ORCHFS_A_LAYOUT_GENERATION]);
	if (tb[ORCHFS_A_LAYOUT_VERSION])
		lay->version = nla_get_u64(tb[ORCHFS_A_LAYOUT_VERSION]);
	if (tb[ORCHFS_A_LAYOUT_WRITABLE])
		lay->writable = nla_get_u32(tb[ORCHFS_A_LAYOUT_WRITABLE]);
	ret = decode_segments(nest, ch, lay, extack);
	if (ret) {
		orchfs_layout_put(lay);
		return ret;
	}
	*out = lay;
	return 0;
}
