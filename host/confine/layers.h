/* SPDX-License-Identifier: MIT */
/* The layers that confine.c stacks. Each: 0, or -errno and nothing has changed that matters. */
#ifndef CONFINE_LAYERS_H
#define CONFINE_LAYERS_H

#include "config/config.h"

int layer_namespaces(const struct vm_config *config);
int layer_capabilities(const struct vm_config *config);
int layer_no_new_privileges(const struct vm_config *config);
int layer_not_dumpable(const struct vm_config *config);
int layer_landlock(const struct vm_config *config);
int layer_limits(const struct vm_config *config);

#endif
