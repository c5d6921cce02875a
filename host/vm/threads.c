/* SPDX-License-Identifier: MIT */
/* The unit of the I/O threads: how many, how long they poll, and guest memory pinned for them. */
#include <errno.h>
#include <sched.h>
#include <string.h>

#include "base/log.h"
#include "base/pin.h"
#include "base/wakeup.h"
#include "vm/vm_impl.h"

/* ---- how many, and how long they poll ------------------------------------ */

/* CPUs in our affinity mask. */
static uint32_t host_cpus(void)
{
	cpu_set_t cpus;

	return sched_getaffinity(0, sizeof(cpus), &cpus) ? 1 : (uint32_t)CPU_COUNT(&cpus);
}

/* On a small host a second I/O thread only adds wake-ups: the VPs need the CPUs. */
static uint32_t thread_count(const struct vm_config *o)
{
	if (o->io_threads != VM_AUTO)
		return (uint32_t)o->io_threads;
	return host_cpus() >= 4 && o->cpus > 1 ? 2 : 1;
}

/* Polling occupies one CPU per I/O thread, so poll only when the CPUs outnumber VPs and threads. It
 * saves the guest a doorbell and us a wake-up, and allows interrupts to be delayed
 * (vmbus-host/moderation.h): worth the time of some wake-ups. */
static bool have_spare_cpus(const struct vm_config *o)
{
	return host_cpus() >= o->cpus + thread_count(o);
}

static uint64_t poll_ns(const struct vm_config *o)
{
	uint64_t ns;

	if (o->poll_us != VM_AUTO)
		return (uint64_t)o->poll_us * 1000;
	ns = have_spare_cpus(o) ? wakeup_poll_window_ns() : 0;
	log_debug("I/O threads poll for up to %llu us", (unsigned long long)ns / 1000);
	return ns;
}

/* ---- life ---------------------------------------------------------------- */

static int thread_open(struct vm *vm, uint64_t window_ns, struct err *e)
{
	struct loop *loop = &vm->io_thread[vm->io_threads];
	int ret = loop_init(loop, "io", e);

	if (ret)
		return ret;
	loop_set_polling(loop, window_ns);
	ret = loop_start(loop);
	if (ret) {
		loop_fini(loop);
		return err_set(e, ret, "cannot start an I/O thread: %s", strerror(-ret));
	}
	vm->io_thread_ptr[vm->io_threads++] = loop;
	return 0;
}

static int threads_open(struct vm *vm, struct err *e)
{
	uint64_t window_ns = poll_ns(vm->options);
	uint32_t count = thread_count(vm->options);
	int ret = 0;

	ON_CONTROL(vm);
	for (uint32_t i = 0; i < count && !ret; i++)
		ret = thread_open(vm, window_ns, e);
	return ret;
}

static void threads_close(struct vm *vm)
{
	ON_CONTROL(vm);
	for (uint32_t i = 0; i < vm->io_threads; i++) {
		loop_stop(&vm->io_thread[i]);
		loop_join(&vm->io_thread[i]);
	}
	/* A post signals its loop after the task may have run already: no loop is freed while
	 * another one may still do so. */
	for (uint32_t i = 0; i < vm->io_threads; i++)
		loop_fini(&vm->io_thread[i]);
	vm->io_threads = 0;
}

/* ---- pinned memory ------------------------------------------------------- */

struct pinning {
	struct loop *loop;
	const struct gmem *gmem;
	int error;
};

static void pin(void *arg)
{
	struct pinning *p = arg;

	p->error = loop_pin(p->loop, p->gmem);
}

static void unpin(void *arg)
{
	loop_unpin(arg);
}

static int threads_attach(struct vm *vm, struct err *e)
{
	ON_CONTROL(vm);
	for (uint32_t i = 0; vm->options->pin_memory && i < vm->io_threads; i++) {
		struct pinning p = {&vm->io_thread[i], partition_gmem(vm->partition), 0};

		loop_call(p.loop, pin, &p);
		if (p.error)
			log_warn("pin_memory: guest memory cannot be registered: %s; see ulimit -l",
				strerror(-p.error));
	}
	return 0;
}

static void threads_detach(struct vm *vm)
{
	ON_CONTROL(vm);
	for (uint32_t i = 0; vm->options->pin_memory && i < vm->io_threads; i++)
		loop_call(&vm->io_thread[i], unpin, &vm->io_thread[i]);
}

const struct vm_unit_ops io_threads_unit = {
	.name = "I/O threads",
	.open = threads_open,
	.attach = threads_attach,
	.detach = threads_detach,
	.close = threads_close,
};
