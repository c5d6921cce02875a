/* SPDX-License-Identifier: MIT */
/* Between the files of lib/; tests use flat.h. */
#ifndef FLAT_TRAP_H
#define FLAT_TRAP_H

struct trap_frame;

void trap_init(void);    /* once, on VP 0 */
void trap_init_vp(void); /* on every VP */
void trap_dispatch(struct trap_frame *frame);
void vp_main(unsigned index);

#endif
