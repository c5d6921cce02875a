/* SPDX-License-Identifier: GPL-2.0 OR MIT */
/*
 * The one portability header of the ring: types, atomics, barriers, copies, for
 * the kernel and for user space. Nothing else in common/ring differs.
 */
#ifndef RING_PORT_H
#define RING_PORT_H

#ifdef __KERNEL__

#include <asm/barrier.h>
#include <linux/compiler.h>
#include <linux/errno.h>
#include <linux/string.h>
#include <linux/types.h>

/* virt_*: the peer may run on another CPU even when this kernel is built for one. */
#define ring_load(p)             READ_ONCE(*(p))
#define ring_load_acquire(p)     virt_load_acquire(p)
#define ring_store(p, v)         WRITE_ONCE(*(p), v)
#define ring_store_release(p, v) virt_store_release(p, v)
#define ring_full_fence()        virt_mb()
/* The compiler must not re-read shared memory for values copied before this point. */
#define ring_compiler_barrier() barrier()

#else

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define ring_load(p)             __atomic_load_n(p, __ATOMIC_RELAXED)
#define ring_load_acquire(p)     __atomic_load_n(p, __ATOMIC_ACQUIRE)
#define ring_store(p, v)         __atomic_store_n(p, v, __ATOMIC_RELAXED)
#define ring_store_release(p, v) __atomic_store_n(p, v, __ATOMIC_RELEASE)
/* Not __atomic_thread_fence: gcc rejects it under the thread sanitizer. */
#define ring_full_fence()        __sync_synchronize()
#define ring_compiler_barrier()  __asm__ volatile("" ::: "memory")

#endif

#endif
