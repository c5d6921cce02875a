/* SPDX-License-Identifier: MIT */
/* The descriptions of all back ends and filters, for table.c and tests. */
#ifndef HOST_NIC_TYPES_H
#define HOST_NIC_TYPES_H

#include "nic/type.h"

/* ---- values of filters --------------------------------------------------- */

/* Whether a text is a value, without its direction; and what it must be. */
bool nic_delay_valid(const char *range);
#define NIC_DELAY_RULE "a time such as 5ms or 1ms-20ms (ns, us, ms, s), at most 3600s"
bool nic_loss_valid(const char *rate);
#define NIC_LOSS_RULE "a share of all frames such as 1% or 0.05%"
bool nic_limit_valid(const char *rate);
/* The rate in bits per second, or 0: it is none. */
uint64_t nic_limit_rate(const char *text);
#define NIC_LIMIT_RULE "bits per second such as 100M, from 8K to 1000G"

/* ---- types --------------------------------------------------------------- */

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
