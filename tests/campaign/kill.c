/* SPDX-License-Identifier: MIT */
/* 1,000 SIGKILLs of a process that holds a host, a guest and a disk in a file. */
#include "tests/support/campaign.h"

int main(int argc, char **argv)
{
	return campaign_main(argc, argv, "campaign-kill", 1000, campaign_kill);
}
