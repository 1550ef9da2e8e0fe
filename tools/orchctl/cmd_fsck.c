// SPDX-License-Identifier: Apache-2.0
#include "orchctl.h"
int cmd_fsck(const struct command *cmd, int argc, char **argv)
{
	args_parse(cmd, 0, &argc, argv);
	return fail(RC_FAILED, "fsck is not here yet");
}
