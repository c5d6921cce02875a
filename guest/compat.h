/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Differences between kernels 6.1 and 7.x, included ahead of every file of our modules (Kbuild).
 * No other file of guest/ tests the kernel's version.
 */
#ifndef GUEST_COMPAT_H
#define GUEST_COMPAT_H

#include <linux/version.h>

#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 1, 0)
#error "these modules need Linux 6.1 or later"
#endif

/* What eh_timed_out() of a SCSI host returns when the SCSI layer is to handle the timeout. */
#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 2, 0)
#define compat_eh_timer_return enum scsi_timeout_action
#define COMPAT_EH_NOT_HANDLED  SCSI_EH_NOT_HANDLED
#else
#define compat_eh_timer_return enum blk_eh_timer_return
#define COMPAT_EH_NOT_HANDLED  BLK_EH_DONE
#endif

/* The SCSI layer renamed its callbacks for new devices, and gave one of them the queue's limits. */
#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 14, 0)
#define COMPAT_SDEV_INIT           sdev_init
#define COMPAT_SDEV_CONFIGURE      sdev_configure
#define COMPAT_SDEV_CONFIGURE_ARGS struct scsi_device *sdev, struct queue_limits *limits
#else
#define COMPAT_SDEV_INIT           slave_alloc
#define COMPAT_SDEV_CONFIGURE      slave_configure
#define COMPAT_SDEV_CONFIGURE_ARGS struct scsi_device *sdev
#endif

/* queuecommand() has a type for what it returns. */
#if LINUX_VERSION_CODE >= KERNEL_VERSION(7, 0, 0)
#define compat_qc_status enum scsi_qc_status
#else
#define compat_qc_status int
#endif

/* hv_driver.remove() has had nothing to return since 6.2. */
#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 2, 0)
#define compat_hv_remove void
#define COMPAT_HV_REMOVED
#else
#define compat_hv_remove  int
#define COMPAT_HV_REMOVED 0
#endif

/* Reads a whole model specific register; renamed in 6.16. */
#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 16, 0)
#define compat_rdmsr(msr, value) rdmsrq(msr, value)
#else
#define compat_rdmsr(msr, value) rdmsrl(msr, value)
#endif

/* What the kernel's own hv_vmbus binds to: ACPI's device itself, since 6.4 its platform device. */
#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 4, 0)
#define COMPAT_VMBUS_ON_PLATFORM 1
#else
#define COMPAT_VMBUS_ON_PLATFORM 0
#endif

/* Callbacks of drivers and buses have lost results and gained const over time. */
#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 11, 0)
#define compat_match_driver const struct device_driver
#else
#define compat_match_driver struct device_driver
#endif
#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 3, 0)
#define compat_uevent_device const struct device
#else
#define compat_uevent_device struct device
#endif
#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 11, 0)
#define compat_platform_remove void
#define COMPAT_PLATFORM_REMOVED
#else
#define compat_platform_remove  int
#define COMPAT_PLATFORM_REMOVED 0
#endif

/* Synthetic timers that expire by message: older kernels use them, through the bus. */
#if LINUX_VERSION_CODE < KERNEL_VERSION(7, 0, 0)
#define COMPAT_TIMER_MESSAGES 1
#else
#define COMPAT_TIMER_MESSAGES 0
#endif

/* Page pools got a folder of their own, and pages that may be split without saying so. */
#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 6, 0)
#define COMPAT_PAGE_POOL_H <net/page_pool/helpers.h>
#else
#define COMPAT_PAGE_POOL_H <net/page_pool.h>
#endif
#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 7, 0)
#define COMPAT_PP_SPLIT            0
#define compat_page_is_whole(page) ((void)(page))
#else
#define COMPAT_PP_SPLIT            PP_FLAG_PAGE_FRAG
/* A page that such a pool hands out as a whole has one user, which is counted here only. */
#define compat_page_is_whole(page) page_pool_fragment_page(page, 1)
#endif

/* A net_device says what it does with XDP. */
#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 3, 0)
#define compat_set_xdp_features(ndev)                                                              \
	((ndev)->xdp_features =                                                                    \
			NETDEV_XDP_ACT_BASIC | NETDEV_XDP_ACT_REDIRECT | NETDEV_XDP_ACT_NDO_XMIT)
#else
#define compat_set_xdp_features(ndev) ((void)(ndev))
#endif

/* The arguments of get_rxfh() and set_rxfh() of ethtool have become one structure. */
#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 8, 0)
#define COMPAT_GET_RXFH_ARGS     struct ethtool_rxfh_param *rxfh
#define COMPAT_SET_RXFH_ARGS     struct ethtool_rxfh_param *rxfh, struct netlink_ext_ack *ack
#define COMPAT_RXFH_INDIR        rxfh->indir
#define COMPAT_RXFH_KEY          rxfh->key
#define COMPAT_RXFH_HFUNC        rxfh->hfunc
#define COMPAT_RXFH_REPORT(func) (rxfh->hfunc = (func))
#else
#define COMPAT_GET_RXFH_ARGS     u32 *indir, u8 *key, u8 *hfunc
#define COMPAT_SET_RXFH_ARGS     const u32 *indir, const u8 *key, const u8 hfunc
#define COMPAT_RXFH_INDIR        indir
#define COMPAT_RXFH_KEY          key
#define COMPAT_RXFH_HFUNC        hfunc
#define COMPAT_RXFH_REPORT(func) (hfunc ? (*hfunc = (func)) : 0)
#endif

/* What RSS hashes of each protocol has functions of its own, instead of a command of rxnfc. */
#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 17, 0)
#define COMPAT_RXFH_FIELDS 1
#else
#define COMPAT_RXFH_FIELDS 0
#endif

#endif
