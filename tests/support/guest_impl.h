/* SPDX-License-Identifier: MIT */
/* Between guest.c and guest_save.c. */
#ifndef SUPPORT_GUEST_IMPL_H
#define SUPPORT_GUEST_IMPL_H

#include "tests/support/guest.h"

/* Under the lock. */
void guest_changed(struct guest *g);
void guest_wait_changed(struct guest *g, const char *what);

/* The bus is shut down: destroys it and all devices, and makes a new one. */
void guest_new_bus(struct guest *g);

#endif
