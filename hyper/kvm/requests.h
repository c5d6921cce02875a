/* SPDX-License-Identifier: MIT */
/* The ioctl requests that threads make while a guest runs, for a filter of system calls. The
 * control thread makes others of KVM_REQUEST_TYPE, to build partitions. */
#ifndef KVM_REQUESTS_H
#define KVM_REQUESTS_H

#include <stdint.h>

#define KVM_REQUEST_TYPE 0xAEu /* bits 15:8 of all requests */

extern const uint32_t kvm_requests_vp[];        /* of VP threads; ended by 0 */
extern const uint32_t kvm_requests_interrupt[]; /* of threads that interrupt the guest; the same */

#endif
