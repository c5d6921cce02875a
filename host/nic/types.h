/* SPDX-License-Identifier: MIT */
/* The descriptions of all back ends and filters, for table.c and tests. */
#ifndef HOST_NIC_TYPES_H
#define HOST_NIC_TYPES_H

#include "nic/type.h"

extern const struct nic_type nic_type_tap;   /* tap/tap.c */
extern const struct nic_type nic_type_fd;    /* tap/tap.c */
extern const struct nic_type nic_type_user;  /* user/user.c */
extern const struct nic_type nic_type_pair;  /* pair/pair.c */
extern const struct nic_type nic_type_loop;  /* loopback.c */
extern const struct nic_type nic_type_null;  /* null.c */
extern const struct nic_type nic_type_none;  /* null.c */
extern const struct nic_type nic_type_pcap;  /* filter/pcap.c */
extern const struct nic_type nic_type_delay; /* filter/delay.c */
extern const struct nic_type nic_type_loss;  /* filter/loss.c */
extern const struct nic_type nic_type_limit; /* filter/limit.c */

#endif
