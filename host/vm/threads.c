/* SPDX-License-Identifier: MIT */
/* The unit of the I/O threads: how many, how long they poll, and guest memory pinned for them. */
#include <errno.h>
#include <sched.h>
#include <string.h>

#include "base/log.h"
#include "base/pin.h"
#include "base/time.h"
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

/* ---- the automatic polling window ---------------------------------------- */

/* The window follows the machine: a worker process may start on a busy one, where waking a thread
 * takes far longer than later, or shorter, if nobody else needs the CPUs now. A sample is a
 * wake-up, too: a thread that has next to nothing to do asks for none. */
#define SAMPLE_INTERVAL_NS (250 * NS_PER_MS)
#define SAMPLE_TURNS       16u

static void retune(struct vm_poll_tuner *tuner)
{
	loop_set_polling(tuner->loop, wakeup_poll_window_ns(wakeup_meter_ns(tuner->meter)));
	wakeup_meter_sample(tuner->meter);
}

static void after_turn(struct loop_hook *hook)
{
	struct vm_poll_tuner *tuner = container_of(hook, struct vm_poll_tuner, hook);
	uint64_t now = loop_turn_ns(tuner->loop), turns = tuner->loop->turns;
	bool busy = turns - tuner->turns >= SAMPLE_TURNS;

	if (now < tuner->next_ns)
		return;
	tuner->next_ns = now + SAMPLE_INTERVAL_NS;
	tuner->turns = turns;
	if (busy)
		retune(tuner);
}

static void tune(struct vm_poll_tuner *tuner, struct loop *loop, struct wakeup_meter *meter)
{
	*tuner = (struct vm_poll_tuner){.hook.fn = after_turn, .loop = loop, .meter = meter};
	loop_hook_add(loop, &tuner->hook);
	retune(tuner);
}

static bool polls_automatically(const struct vm_config *o)
{
	return o->poll_us == VM_AUTO && have_spare_cpus(o);
}

/* ---- life ---------------------------------------------------------------- */

/* The CPUs of the devices' NUMA node may have gone meanwhile: then it runs anywhere. */
static void place(const struct vm_config *o, const struct loop *loop)
{
	int ret = 0;

	if (o->io_placed)
		ret = pthread_setaffinity_np(loop->thread, sizeof(o->io_cpus), &o->io_cpus);
	if (ret)
		log_warn("I/O threads cannot run on NUMA node %u: %s", o->io_node, strerror(ret));
}

static int thread_open(struct vm *vm, struct err *e)
{
	uint32_t n = vm->io_threads;
	struct loop *loop = &vm->io_thread[n];
	int ret = loop_init(loop, "io", e);

	if (ret)
		return ret;
	if (vm->wakeup)
		tune(&vm->poll_tuner[n], loop, vm->wakeup);
	else if (vm->options->poll_us != VM_AUTO)
		loop_set_polling(loop, (uint64_t)vm->options->poll_us * NS_PER_US);
	ret = loop_start(loop);
	if (ret) {
		loop_fini(loop);
		return err_set(e, ret, "cannot start an I/O thread: %s", strerror(-ret));
	}
	place(vm->options, loop);
	vm->io_thread_ptr[vm->io_threads++] = loop;
	return 0;
}

static int threads_open(struct vm *vm, struct err *e)
{
	uint32_t count = thread_count(vm->options);
	int ret = 0;

	ON_CONTROL(vm);
	if (polls_automatically(vm->options)) {
		vm->wakeup = wakeup_meter_new(e);
		ret = vm->wakeup ? 0 : -EAGAIN;
	}
	for (uint32_t i = 0; i < count && !ret; i++)
		ret = thread_open(vm, e);
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
	wakeup_meter_free(vm->wakeup);
	vm->wakeup = NULL;
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
