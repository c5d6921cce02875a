/* SPDX-License-Identifier: MIT */
/* 10,000 power cuts of a disk with a volatile write cache. */
#include "tests/support/campaign.h"

int main(int argc, char **argv)
{
	return campaign_main(argc, argv, "campaign-powercut", 10000, campaign_powercut);
}
