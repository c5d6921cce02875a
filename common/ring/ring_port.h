/* SPDX-License-Identifier: GPL-2.0 OR MIT */
/*
 * The one portability header of the ring: types, atomics, barriers, copies, for
 * the kernel and for user space. Nothing else in common/ring differs.
 */
#ifndef RING_PORT_H
#define RING_PORT_H

/* Memory that the peer writes at any time. Only the accesses below and ring_copy_*() may follow
 * such a pointer; sparse checks it (`make style`). The same address space as the host's
 * GUEST_SHARED. */
#ifdef __CHECKER__
#define RING_SHARED __attribute__((noderef, address_space(5)))
#define RING_FORCE  __attribute__((force))
#else
#define RING_SHARED
#define RING_FORCE
#endif

#ifdef __KERNEL__

#include <asm/barrier.h>
#include <linux/compiler.h>
#include <linux/errno.h>
#include <linux/string.h>
#include <linux/types.h>

/* The kernel's accessors cast to pointers of their own, without the address space: this is the one
 * place where a word of the ring leaves it. All of them are 32 bits. */
#define RING_WORD(p) ((RING_FORCE uint32_t *)(p))

/* virt_*: the peer may run on another CPU even when this kernel is built for one. */
#define ring_load(p)             READ_ONCE(*RING_WORD(p))
#define ring_load_acquire(p)     virt_load_acquire(RING_WORD(p))
#define ring_store(p, v)         WRITE_ONCE(*RING_WORD(p), v)
#define ring_store_release(p, v) virt_store_release(RING_WORD(p), v)
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

static inline void ring_copy_in(uint8_t RING_SHARED *to, const void *from, uint32_t len)
{
	memcpy((RING_FORCE uint8_t *)to, from, len);
}

static inline void ring_copy_out(void *to, const uint8_t RING_SHARED *from, uint32_t len)
{
	memcpy(to, (RING_FORCE const uint8_t *)from, len);
}

#endif
