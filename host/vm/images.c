/* SPDX-License-Identifier: MIT */
/* Kernel and initrd: from files into guest memory. */
#include <errno.h>
#include <unistd.h>

#include "vm/vm_impl.h"

/* Upper bound on the size of a kernel image. */
#define KERNEL_MAX (4ull << 30)
#define MIB        (1ull << 20)

static int hold(int *held, const char *path, struct err *e)
{
	int fd = boot_image_open(path, e);

	*held = fd < 0 ? 0 : fd;
	return fd < 0 ? fd : 0;
}

int images_open(struct vm_held *held, const struct vm_config *o, struct err *e)
{
	int ret = hold(&held->kernel, o->kernel, e);

	return !ret && o->initrd ? hold(&held->initrd, o->initrd, e) : ret;
}

void images_close(struct vm_held *held)
{
	if (held->kernel)
		close(held->kernel);
	if (held->initrd)
		close(held->initrd);
	held->kernel = held->initrd = 0;
}

/* An initrd larger than guest memory is refused before it is read. */
static int read_initrd(struct boot_image *image, int fd, const struct vm_config *o, struct err *e)
{
	int ret = boot_image_read(image, fd, o->initrd, o->memory.size, e);

	if (ret == -EFBIG)
		err_set(e, ret,
			"initrd: %s: is larger than the guest's memory of %llu MiB: use more memory or a smaller initrd",
			o->initrd, (unsigned long long)(o->memory.size / MIB));
	return ret;
}

/* The picture is shown when there is a kernel that may draw. */
static void give_framebuffer(struct vm *vm, struct boot_config *config)
{
	if (!vm->screen.offered)
		return;
	config->framebuffer = (struct boot_framebuffer){
		.gpa = SCREEN_GPA,
		.size = SCREEN_MEGABYTES << 20,
		.width = SCREEN_WIDTH,
		.height = SCREEN_HEIGHT,
	};
	screen_begin(&vm->screen);
}

int images_load(struct vm *vm, struct err *e)
{
	const struct vm_held *held = &vm->held;
	const struct vm_config *o = vm->options;
	struct boot_config config = {
		.cmdline = o->append,
		.vp_count = o->cpus,
		.test_device = o->test_device,
	};
	int ret = boot_image_read(&config.kernel, held->kernel, o->kernel, KERNEL_MAX, e);

	give_framebuffer(vm, &config);
	if (!ret && o->initrd)
		ret = read_initrd(&config.initrd, held->initrd, o, e);
	if (!ret)
		ret = partition_load(vm->partition, &config, e);
	boot_image_free(&config.initrd);
	boot_image_free(&config.kernel);
	return ret;
}
