// SPDX-License-Identifier: Apache-2.0
/* orchctl - what people type to manage orchfs. The table of commands. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "orchctl.h"

struct options opts = {
	.socket = "/run/orchd/control",
	.state_dir = "/var/lib/orchd",
	.ns = "",
};

static const struct command commands[] = {
	{ "init", NULL, "NAME", "make a namespace and its store",
	  "The store is made by orchd itself (found beside orchctl, in ../sbin, by PATH or\n"
	  "by the variable ORCHD). A daemon that runs begins to serve it at once.\n",
	  1, 1, cmd_init },
	{ "volume", "add", "NAME PATH", "add a directory that stores file contents",
	  "PATH is an empty or new directory on XFS or ext4; it gets mode 0700.\n",
	  2, 2, cmd_volume_add },
	{ "volume", "list", "", "list the volumes of a namespace", NULL,
	  0, 0, cmd_volume_list },
	{ "volume", "show", "NAME", "show one volume", NULL,
	  1, 1, cmd_volume_show },
	{ "volume", "set", "NAME", "change a volume's tier or reserve", NULL,
	  1, 1, cmd_volume_set },
	{ "volume", "drain", "NAME", "move all files of a volume to the others",
	  "From then on it gets no new files. Waits for the end and shows how far it is;\n"
	  "interrupted, the job goes on. Files that are in use are named and tried again\n"
	  "until they are not. An empty volume can be removed.\n",
	  1, 1, cmd_volume_drain },
	{ "volume", "remove", "NAME", "remove a volume that holds no file", NULL,
	  1, 1, cmd_volume_remove },
	{ "status", NULL, "", "show the daemon and its namespaces", NULL,
	  0, 0, cmd_status },
	{ "where", NULL, "FILE|INODE", "show where a file's bytes are",
	  "A word of digits is an inode number; a file of such a name is written ./12.\n",
	  1, 1, cmd_where },
	{ "move", NULL, "FILE|DIR VOLUME", "move contents to another volume",
	  "Names and open descriptors stay as they are. Waits for the end and shows how far\n"
	  "it is; interrupted, the job goes on. A file that is open for writing is left\n"
	  "where it is. One that is mapped is copied, and its old copy goes when it is not\n"
	  "mapped any more: this is not waited for.\n",
	  2, 2, cmd_move },
	{ "jobs", "list", "", "list what is being moved, and was", NULL,
	  0, 0, cmd_jobs_list },
	{ "jobs", "show", "JOB", "show a job and the files that it is at or left", NULL,
	  1, 1, cmd_jobs_show },
	{ "jobs", "cancel", "JOB", "give a job up", "What it has moved stays moved.\n",
	  1, 1, cmd_jobs_cancel },
	{ "jobs", "watch", "JOB", "wait for the end of a job",
	  "Also for files that are mapped. Exits as 'orchctl move' does.\n",
	  1, 1, cmd_jobs_watch },
	{ "cluster", "init", "NAME", "make a namespace that several nodes share",
	  "Makes the namespace if it is not there, a certificate authority and this node's\n"
	  "certificate. From then on the daemon listens for other nodes at --listen.\n"
	  "Keep a copy of STORE/cluster: a backup does not have the keys.\n",
	  1, 1, cmd_cluster_init },
	{ "node", "invite", "", "print a token with which one node can join",
	  "Whoever has the token can join until it is used or has expired.\n",
	  0, 0, cmd_node_invite },
	{ "node", "join", "TOKEN", "make this machine a node of a cluster",
	  "The daemon makes a key, which stays on this machine, and keeps a connection to\n"
	  "the cluster's authority from then on. A TOKEN of - is a line of standard input,\n"
	  "which no list of processes shows.\n",
	  1, 1, cmd_node_join },
	{ "node", "list", "", "list the nodes of a cluster", NULL,
	  0, 0, cmd_node_list },
	{ "node", "show", "NODE", "show one node", "NODE is a name or a number.\n",
	  1, 1, cmd_node_show },
	{ "node", "drain", "NODE", "move all files of a node to other nodes",
	  "NODE is a name or a number. Drains each of its volumes, as orchctl volume drain\n"
	  "does. When all are empty the node can be removed.\n",
	  1, 1, cmd_node_drain },
	{ "node", "remove", "NODE", "take a node out of the cluster",
	  "NODE is a name or a number. Its certificate is refused from then on and its\n"
	  "connection is closed at once. The number is not used again. Refused while the\n"
	  "only copy of a file is on one of its volumes: see orchctl node drain. With --list\n"
	  "nothing is removed: it prints these files, with --json a line each; also of a node\n"
	  "that was removed, by its number.\n",
	  1, 1, cmd_node_remove },
	{ "mounts", NULL, "", "show the namespaces that the kernel knows",
	  "Asks the kernel, so it works without a daemon.\n",
	  0, 0, cmd_mounts },
	{ "upcalls", NULL, "", "show how often the kernel asked the daemon",
	  "Asks the kernel, so it works without a daemon. Notices are messages that nobody\n"
	  "waits for and are not part of the total.\n",
	  0, 0, cmd_upcalls },
	{ "backup", NULL, "FILE", "write the names and attributes to a file",
	  "Online. Contents stay on the volumes and are not in FILE. An older FILE is\n"
	  "replaced once the new one is complete and durable.\n",
	  1, 1, cmd_backup },
	{ "restore", NULL, "FILE", "make a store from a backup",
	  "Offline: stop the daemon first. Files made after the backup are on the volumes\n"
	  "but not in it: they go to each volume's quarantine, nothing is deleted.\n",
	  1, 1, cmd_restore },
	{ "rebuild", NULL, "NAME PATH...", "make a lost store from the volumes",
	  "Offline. PATHs are the root directories of all volumes of namespace NAME. Names\n"
	  "and attributes are those of the newest export on them; files that it does not\n"
	  "know get names in lost+found. Nothing on the volumes is changed.\n",
	  2, 256, cmd_rebuild },
	{ "fsck", NULL, "[NAME]", "check a namespace",
	  "Checks each record of the store and each file on the volumes. While the daemon\n"
	  "serves the namespace a consistent copy is checked. Without NAME or --store all\n"
	  "stores of the state directory are checked.\n",
	  0, 1, cmd_fsck },
	{ "swap", NULL, "FILE|INODE", "replace the layout of a file that is in use",
	  "A diagnostic: publishes an equal layout and waits for I/O on the old one.\n",
	  1, 1, cmd_swap },
	{ "sync", NULL, "", "make all that was acknowledged durable", NULL,
	  0, 0, cmd_sync },
	{ "upgrade", NULL, "[PROGRAM]", "let a new daemon take over, mounts go on",
	  "PROGRAM is the new orchd, by default the file that the old one was started from.\n"
	  "If it cannot take over, the old one goes on.\n",
	  0, 1, cmd_upgrade },
	{ "stop", NULL, "", "stop the daemon in an orderly way", NULL,
	  0, 0, cmd_stop },
};

#define NR_COMMANDS (sizeof(commands) / sizeof(commands[0]))

static void help(void)
{
	char left[64];
	size_t i;

	printf("Usage: orchctl COMMAND [arguments] [options]\n\n");
	for (i = 0; i < NR_COMMANDS; i++) {
		snprintf(left, sizeof(left), "%s%s%s%s%s", commands[i].area,
			 commands[i].verb ? " " : "",
			 commands[i].verb ? commands[i].verb : "",
			 *commands[i].args ? " " : "", commands[i].args);
		printf("  %-24s %s\n", left, commands[i].summary);
	}
	printf("\n'orchctl COMMAND --help' tells more. Exit codes: 0 done, "
	       "1 failed, 2 wrong usage,\n3 daemon not reachable; of fsck also "
	       "4 problems are left, 5 all were repaired.\n");
}

static const struct command *find(int argc, char **argv, int *words)
{
	size_t i;

	for (i = 0; i < NR_COMMANDS; i++) {
		if (strcmp(argv[1], commands[i].area))
			continue;
		*words = commands[i].verb ? 2 : 1;
		if (!commands[i].verb ||
		    (argc > 2 && !strcmp(argv[2], commands[i].verb)))
			return &commands[i];
	}
	return NULL;
}

/* "orchctl volume": tell what may follow. */
static int unknown(int argc, char **argv)
{
	bool area = false;
	size_t i;

	for (i = 0; i < NR_COMMANDS; i++) {
		if (strcmp(argv[1], commands[i].area) || !commands[i].verb)
			continue;
		area = true;
		printf("  orchctl %s %s %s\n", commands[i].area,
		       commands[i].verb, commands[i].args);
	}
	if (!area)
		return fail(RC_USAGE, "no command '%s': see 'orchctl --help'",
			    argv[1]);
	if (argc > 2 && (!strcmp(argv[2], "--help") || !strcmp(argv[2], "-h")))
		return RC_OK;
	return fail(RC_USAGE, argc > 2 ? "%s has no '%s'" :
		    "%s: which of these?%s", argv[1], argc > 2 ? argv[2] : "");
}

static void from_environment(void)
{
	const char *v = getenv("ORCHD_SOCKET");

	if (v && *v)
		opts.socket = v;
	v = getenv("ORCHD_STATE_DIR");
	if (v && *v)
		opts.state_dir = v;
}

static int run(int argc, char **argv)
{
	const struct command *cmd;
	int words = 1;

	if (argc < 2) {
		help();
		return RC_USAGE;
	}
	if (!strcmp(argv[1], "--help") || !strcmp(argv[1], "-h") ||
	    !strcmp(argv[1], "help")) {
		help();
		return RC_OK;
	}
	cmd = find(argc, argv, &words);
	if (!cmd)
		return unknown(argc, argv);
	return cmd->run(cmd, argc - words, argv + words);
}

int main(int argc, char **argv)
{
	int rc;

	from_environment();
	rc = run(argc, argv);
	if (fflush(stdout) || ferror(stdout))
		return fail(RC_FAILED, "standard output could not be written");
	return rc;
}
