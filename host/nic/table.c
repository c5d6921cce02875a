/* SPDX-License-Identifier: MIT */
/* All back ends and filters. One line each; the help text shows them in this order. */
#include "nic/types.h"

const struct nic_type *const nic_types[] = {
	&nic_type_tap,
	&nic_type_fd,
	&nic_type_user,
	&nic_type_pair,
	&nic_type_loop,
	&nic_type_null,
	&nic_type_none,
	&nic_type_pcap,
	&nic_type_delay,
	&nic_type_loss,
	&nic_type_limit,
	NULL,
};
