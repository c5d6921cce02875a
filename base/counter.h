/* SPDX-License-Identifier: MIT */
/*
 * Counters with one writer thread and readers on any thread: relaxed loads and
 * stores of a plain integer, so counting costs no locked instruction. A reader
 * sees each counter whole, but several of them not at one moment.
 */
#ifndef BASE_COUNTER_H
#define BASE_COUNTER_H

/* Any thread. counter: a pointer to an integer of at most 64 bits. */
#define counter_get(counter) __atomic_load_n((counter), __ATOMIC_RELAXED)
/* The writer thread. */
#define counter_set(counter, value)  __atomic_store_n((counter), (value), __ATOMIC_RELAXED)
#define counter_add(counter, amount) counter_set((counter), *(counter) + (amount))

#endif
