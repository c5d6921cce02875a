/* SPDX-License-Identifier: MIT */
/* console.h as a unit. Its output outlives the guest: vm.c drains it before the process ends. */
#include "vm/vm_impl.h"

static size_t input(void *ctx, const uint8_t *bytes, size_t count)
{
	struct vm *vm = ctx;

	return vm->partition ? partition_console_input(vm->partition, bytes, count) : 0;
}

static void quit(void *ctx)
{
	vm_stop(ctx, EXIT_POWER_OFF);
}

static const struct console_ops ops = {
	.input = input,
	.quit = quit,
};

/* At the first boot, as the last unit: a VM that cannot start changes no terminal and truncates no
 * file. */
static int attach(struct vm *vm, struct err *e)
{
	int ret;

	ON_CONTROL(vm);
	if (vm->console_open)
		return 0;
	ret = console_open(&vm->console, &vm->control, vm->options->console, &ops, vm, e);
	vm->console_open = !ret;
	return ret;
}

static void close_unit(struct vm *vm)
{
	if (vm->console_open)
		console_close(&vm->console);
	vm->console_open = false;
}

const struct vm_unit_ops console_unit = {
	.name = "console",
	.attach = attach,
	.close = close_unit,
};
