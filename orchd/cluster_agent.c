// SPDX-License-Identifier: Apache-2.0
/* STORE/cluster/agent: what an agent keeps. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cluster.h"
#include "config.h"
#include "marker.h"

#define HEAD		"orchfs agent 1\n"
#define AGENT		"agent"

static bool has(const char *dir, const char *name)
{
	char path[4300];

	snprintf(path, sizeof(path), "%.4096s/%s", dir, name);
	return !access(path, F_OK);
}

/* One that has lost its file is refused by name, and not passed over. */
bool cluster_is_agent(const char *dir)
{
	return !has(dir, "db") &&
	       (has(dir, CLUSTER_DIR "/" AGENT) ||
		(has(dir, CLUSTER_DIR "/node.pem") && !has(dir, "synced") &&
		 !has(dir, CLUSTER_DIR "/ca.key")));
}

int agent_file_write(const char *dir, const struct agent_file *a)
{
	Orchfs__Peer__AgentFile m = ORCHFS__PEER__AGENT_FILE__INIT;
	char *address[TOKEN_ADDRESSES];
	uint8_t buf[2048];
	uint32_t crc;
	size_t len;

	for (unsigned int i = 0; i < a->nr_addresses; i++)
		address[i] = (char *)a->address[i];
	m.ns = (char *)a->ns;
	m.uuid.data = (uint8_t *)a->uuid;
	m.uuid.len = sizeof(a->uuid);
	m.node = a->node;
	m.name = (char *)a->name;
	m.authority = a->authority;
	m.authority_name = (char *)a->authority_name;
	m.address = address;
	m.n_address = a->nr_addresses;
	m.epoch = a->epoch;
	m.listen = (char *)a->listen;
	strcpy((char *)buf, HEAD);
	len = orchfs__peer__agent_file__pack(&m, buf + strlen(HEAD));
	crc = crc32c(buf + strlen(HEAD), len);
	len += strlen(HEAD);
	for (int i = 0; i < 4; i++)
		buf[len++] = crc >> 8 * i & 0xff;
	return file_write(dir, AGENT, buf, len);
}

static int decode(const Orchfs__Peer__AgentFile *m, struct agent_file *a)
{
	*a = (struct agent_file){
		.node = m->node, .authority = m->authority, .epoch = m->epoch,
	};
	if (!config_name_valid(m->ns) || !config_name_valid(m->name) ||
	    !config_name_valid(m->authority_name) || m->uuid.len != 16 ||
	    !m->node || !m->authority || !m->n_address ||
	    m->n_address > TOKEN_ADDRESSES ||
	    strlen(m->listen) >= NS_NODE_ADDRESS)
		return -EUCLEAN;
	strcpy(a->listen, m->listen);
	strcpy(a->ns, m->ns);
	strcpy(a->name, m->name);
	strcpy(a->authority_name, m->authority_name);
	memcpy(a->uuid, m->uuid.data, 16);
	for (size_t i = 0; i < m->n_address; i++) {
		if (strlen(m->address[i]) >= NS_NODE_ADDRESS)
			return -EUCLEAN;
		strcpy(a->address[a->nr_addresses++], m->address[i]);
	}
	return 0;
}

int cluster_keep_epoch(struct cluster *cl, uint64_t epoch)
{
	struct agent_file a;
	int rc;

	rc = agent_file_read(cl->dir, &a);
	if (rc < 0 || a.epoch >= epoch)
		return rc;
	a.epoch = epoch;
	return agent_file_write(cl->dir, &a);
}

int agent_file_read(const char *dir, struct agent_file *a)
{
	const size_t head = strlen(HEAD);
	Orchfs__Peer__AgentFile *m;
	const uint8_t *p;
	uint32_t crc;
	size_t len;
	void *buf;
	int rc;

	rc = file_read(dir, AGENT, &buf, &len);
	if (rc < 0)
		return rc;
	p = buf;
	rc = -EUCLEAN;
	if (len < head + 4 || memcmp(p, HEAD, head))
		goto out;
	p += head;
	len -= head + 4;
	crc = p[len] | p[len + 1] << 8 | p[len + 2] << 16 |
	      (uint32_t)p[len + 3] << 24;
	if (crc != crc32c(p, len))
		goto out;
	m = orchfs__peer__agent_file__unpack(NULL, len, p);
	if (!m)
		goto out;
	rc = decode(m, a);
	orchfs__peer__agent_file__free_unpacked(m, NULL);
out:
	free(buf);
	return rc;
}
