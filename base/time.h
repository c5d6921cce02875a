/* SPDX-License-Identifier: MIT */
/* Nanoseconds in other units. Every time in the host is a uint64_t of nanoseconds. */
#ifndef BASE_TIME_H
#define BASE_TIME_H

#define NS_PER_US 1000ull
#define NS_PER_MS 1000000ull
#define NS_PER_S  1000000000ull

#endif
