/* SPDX-License-Identifier: MIT */
/* Nanoseconds in other units. Every time in the host is a uint64_t of nanoseconds. */
#ifndef BASE_TIME_H
#define BASE_TIME_H

#include <stdint.h>

#define NS_PER_US UINT64_C(1000)
#define NS_PER_MS UINT64_C(1000000)
#define NS_PER_S  UINT64_C(1000000000)

#endif
