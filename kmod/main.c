// SPDX-License-Identifier: GPL-2.0-only
/*
 * orchfs: init and exit, mirrored.
 */
#include <linux/init.h>
#include <linux/module.h>
#include <net/genetlink.h>

#include "client.h"
#include "orchfs.h"
#include "remote.h"

static int __init orchfs_init(void)
{
	int ret;

	orchfs_lock_init();
	ret = orchfs_inode_init();
	if (ret)
		return ret;
	ret = orchfs_remote_init();
	if (ret)
		goto err_inode_exit;
	ret = orchfs_layout_init();
	if (ret)
		goto err_remote_exit;
	ret = orchfs_file_init();
	if (ret)
		goto err_layout_exit;
	ret = orchfs_request_init();
	if (ret)
		goto err_file_exit;
	ret = orchfs_client_init();
	if (ret)
		goto err_request_exit;
	ret = orchfs_channel_init();
	if (ret)
		goto err_client_exit;
	ret = orchfs_super_init();
	if (ret)
		goto err_channel_exit;
	return 0;

err_channel_exit:
	orchfs_channel_exit();
err_client_exit:
	orchfs_client_exit();
err_request_exit:
	orchfs_request_exit();
err_file_exit:
	orchfs_file_exit();
err_layout_exit:
	orchfs_layout_exit();
err_remote_exit:
	orchfs_remote_exit();
err_inode_exit:
	orchfs_inode_exit();
	return ret;
}

static void __exit orchfs_exit(void)
{
	orchfs_super_exit();
	orchfs_channel_exit();
	orchfs_client_exit();
	orchfs_request_exit();
	orchfs_file_exit();
	orchfs_layout_exit();
	orchfs_remote_exit();
	orchfs_inode_exit();
}

module_init(orchfs_init);
module_exit(orchfs_exit);

MODULE_DESCRIPTION("orchfs: one file system over local NVMe, data servers and object stores");
MODULE_AUTHOR("The orchfs authors");
MODULE_LICENSE("GPL");
MODULE_ALIAS_FS("orchfs");
MODULE_ALIAS_GENL_FAMILY("orchfs");
