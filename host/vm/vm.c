/* SPDX-License-Identifier: MIT */
#include "vm/vm.h"

#include <assert.h>
#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "base/log.h"
#include "base/pin.h"
#include "base/wakeup.h"
#include "vm/commands.h"

/* Kernels are read whole, debug information and all; nobody's is larger. */
#define BOOT_IMAGE_MAX (4ull << 30)
#define MIB            (1ull << 20)

#define CRASH_LINES_MAX 200u

static void stop_boot(struct vm *m);

/* ---- events from VP threads ---------------------------------------------- */

static void on_partition_end(void *ctx, enum partition_end reason, int status, const char *text)
{
	struct vm *m = ctx;

	m->end_reason = reason;
	m->end_status = status;
	snprintf(m->end_text, sizeof(m->end_text), "%s", text);
	loop_post(&m->control, &m->end_task);
}

static void on_partition_crash(void *ctx, const struct hv_crash *crash)
{
	struct vm *m = ctx;
	struct hv_crash *copy;

	if (atomic_exchange(&m->crash_posted, true))
		return; /* the first report is the one that counts */
	copy = malloc(sizeof(*copy));
	if (copy)
		*copy = *crash;
	m->crash = copy;
	loop_post(&m->control, &m->crash_task);
}

static void on_partition_console(void *ctx, uint8_t byte)
{
	struct vm *m = ctx;

	console_put(&m->console, byte);
}

/* ---- how it ends --------------------------------------------------------- */

static void finish(void *ctx)
{
	struct vm *m = ctx;

	m->state = VM_DONE;
	loop_stop(&m->control);
}

static void end_vm(struct vm *m, int exit_status)
{
	m->exit_status = exit_status;
	if (m->console_open)
		console_drain(&m->console, finish);
	else
		finish(m);
}

void vm_stop(struct vm *m, int exit_status)
{
	if (m->stop_status < 0)
		m->stop_status = exit_status;
	if (m->state == VM_BOOTED)
		stop_boot(m);
}

static int boot(struct vm *m, struct err *e);

static void restart(struct vm *m)
{
	log_event(LOG_INFO, "the guest reset: restarting");
	m->state = VM_NEW;
	if (boot(m, &m->error))
		end_vm(m, EXIT_ERROR);
}

/* The boot is torn down: say why, and go on or end. */
static void after_boot(struct vm *m)
{
	if (m->stop_status >= 0) {
		end_vm(m, m->stop_status);
		return;
	}
	switch (m->end_reason) {
	case PARTITION_POWER_OFF:
		end_vm(m, EXIT_POWER_OFF);
		return;
	case PARTITION_RESET:
		if (m->options->reboot)
			restart(m);
		else
			end_vm(m, EXIT_RESET);
		return;
	case PARTITION_TRIPLE_FAULT:
		log_error("the guest ended in a triple fault %s", m->end_text);
		end_vm(m, EXIT_TRIPLE_FAULT);
		return;
	case PARTITION_VP_ERROR:
		log_error("%s", m->end_text);
		end_vm(m, EXIT_VP_ERROR);
		return;
	case PARTITION_DEBUG_EXIT:
		end_vm(m, m->end_status);
		return;
	}
}

static void print_crash(const struct hv_crash *crash)
{
	const char *line = crash->message;

	log_event(LOG_ERROR, "the guest crashed: parameters %#llx %#llx %#llx %#llx %#llx",
		(unsigned long long)crash->param[0], (unsigned long long)crash->param[1],
		(unsigned long long)crash->param[2], (unsigned long long)crash->param[3],
		(unsigned long long)crash->param[4]);
	/* Its last kernel messages, line by line; the log sanitises them. */
	for (unsigned lines = 0; *line && lines < CRASH_LINES_MAX; lines++) {
		size_t len = strcspn(line, "\n");

		log_event(LOG_ERROR, "guest: %.*s", (int)len, line);
		line += len + strspn(line + len, "\n");
	}
}

static void crash_reported(struct loop_task *task)
{
	struct vm *m = container_of(task, struct vm, crash_task);

	if (m->crash)
		print_crash(m->crash);
	if (m->options->on_crash == VM_ON_CRASH_EXIT)
		vm_stop(m, EXIT_GUEST_CRASH);
}

static void partition_ended(struct loop_task *task)
{
	struct vm *m = container_of(task, struct vm, end_task);

	if (m->state == VM_BOOTED)
		stop_boot(m);
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

static void pin_memory(struct vm *m)
{
	for (uint32_t i = 0; m->options->pin_memory && i < m->io_threads; i++) {
		struct pinning p = {&m->io_thread[i], partition_gmem(m->partition), 0};

		loop_call(p.loop, pin, &p);
		if (p.error)
			log_warn("pin_memory: guest memory cannot be registered: %s; see ulimit -l",
				strerror(-p.error));
	}
}

static void unpin_memory(struct vm *m)
{
	for (uint32_t i = 0; m->options->pin_memory && i < m->io_threads; i++)
		loop_call(&m->io_thread[i], unpin, &m->io_thread[i]);
}

/* ---- one boot: built in this order, torn down in the opposite one -------- */

/* What can never fit is not read first. */
static int read_initrd(struct boot_image *image, const struct vm_config *o, struct err *e)
{
	int ret = boot_image_read(image, o->initrd, o->memory, e);

	if (ret == -EFBIG)
		err_set(e, ret,
			"initrd: %s: is larger than the guest's memory of %llu MiB: use more memory or a smaller initrd",
			o->initrd, (unsigned long long)(o->memory / MIB));
	return ret;
}

static int load_images(struct vm *m, struct err *e)
{
	const struct vm_config *o = m->options;
	struct boot_config config = {
		.cmdline = o->append,
		.vp_count = o->cpus,
		.test_device = o->test_device,
	};
	int ret = boot_image_read(&config.kernel, o->kernel, BOOT_IMAGE_MAX, e);

	if (!ret && o->initrd)
		ret = read_initrd(&config.initrd, o, e);
	if (!ret)
		ret = partition_load(m->partition, &config, e);
	boot_image_free(&config.initrd);
	boot_image_free(&config.kernel);
	return ret;
}

static void interrupt_vp(void *ctx, uint32_t vp, uint32_t flag)
{
	struct vm *m = ctx;

	bus_hyper_interrupt(m->bus, vp, flag);
}

static int doorbell_add(void *ctx, uint32_t connection_id, int eventfd)
{
	struct vm *m = ctx;

	return partition_doorbell_add(m->partition, connection_id, eventfd);
}

static void doorbell_del(void *ctx, uint32_t connection_id, int eventfd)
{
	struct vm *m = ctx;

	partition_doorbell_del(m->partition, connection_id, eventfd);
}

static const struct vsp_host_ops vsp_host_ops = {
	.interrupt = interrupt_vp,
	.doorbell_add = doorbell_add,
	.doorbell_del = doorbell_del,
};

static void destroy_boot(struct vm *m)
{
	unpin_memory(m);
	storage_detach(&m->storage);
	if (m->bus)
		bus_hyper_destroy(m->bus);
	if (m->partition)
		partition_destroy(m->partition);
	m->bus = NULL;
	m->partition = NULL;
}

static int build_boot(struct vm *m, struct err *e)
{
	const struct vm_config *o = m->options;
	struct partition_config config = {
		.vp_count = o->cpus,
		.memory_size = o->memory,
		.stimer = o->stimer,
		.test_device = o->test_device,
		.events =
			{
				.end = on_partition_end,
				.crash = on_partition_crash,
				.console = on_partition_console,
				.ctx = m,
			},
	};
	int ret = partition_create(&m->partition, &config, e);

	if (ret)
		return ret;
	ret = bus_hyper_create(&m->bus, m->partition, &m->control, o->cpus, e);
	if (ret)
		return ret;
	m->vsp_host = (struct vsp_host){
		.ops = &vsp_host_ops,
		.ctx = m,
		.gmem = partition_gmem(m->partition),
		.bus = m->bus->bus,
		.control = &m->control,
		.io_threads = m->io_thread_ptr,
		.io_thread_count = m->io_threads,
		.vp_count = o->cpus,
	};
	pin_memory(m);
	ret = storage_attach(&m->storage, &m->vsp_host, e);
	return ret ? ret : load_images(m, e);
}

static size_t console_input(void *ctx, const uint8_t *bytes, size_t count)
{
	struct vm *m = ctx;

	return m->partition ? partition_console_input(m->partition, bytes, count) : 0;
}

static void console_quit(void *ctx)
{
	vm_stop(ctx, EXIT_POWER_OFF);
}

static const struct console_ops console_ops = {
	.input = console_input,
	.quit = console_quit,
};

/* Once, and only when nothing but the start is left to fail: a bad kernel changes no terminal and
 * empties no file. */
static int open_console(struct vm *m, struct err *e)
{
	int ret;

	if (m->console_open)
		return 0;
	ret = console_open(&m->console, &m->control, m->options->console, &console_ops, m, e);
	m->console_open = !ret;
	return ret;
}

static int boot(struct vm *m, struct err *e)
{
	int ret;

	free(m->crash);
	m->crash = NULL;
	atomic_store(&m->crash_posted, false);
	ret = build_boot(m, e);
	if (!ret)
		ret = open_console(m, e);
	if (!ret)
		ret = partition_start(m->partition, e);
	if (ret) {
		destroy_boot(m);
		return ret;
	}
	m->state = VM_BOOTED;
	m->boots++;
	return 0;
}

static void bus_closed(void *ctx)
{
	struct vm *m = ctx;

	loop_timer_cancel(&m->stop_timer);
	destroy_boot(m);
	after_boot(m);
}

static void vps_quiet(struct loop_task *task)
{
	struct vm *m = container_of(task, struct vm, quiet_task);

	bus_shutdown(m->bus->bus, bus_closed, m);
}

/* The bus is not closed: a disk has not given everything back. */
static void stop_late(struct loop_timer *t)
{
	struct vm *m = container_of(t, struct vm, stop_timer);

	err_set(&m->error, -ETIMEDOUT,
		"a disk does not give back what is in flight: ended without it");
	m->abandoned = true;
	m->exit_status = m->stop_status >= 0 ? m->stop_status : EXIT_ERROR;
	finish(m);
}

/* VPs first: nothing new comes from the guest. Then what they posted (messages, a crash report)
 * runs, because tasks keep their order; then the channels drain; then all is freed. */
static void stop_boot(struct vm *m)
{
	m->state = VM_STOPPING;
	m->hurried = false;
	loop_timer_start(&m->control, &m->stop_timer, STOP_NS, stop_late);
	partition_stop(m->partition);
	loop_post(&m->control, &m->quiet_task);
}

/* ---- users: signals, control socket -------------------------------------- */

/* Not at once: two signals in a row are no reason to leave an orderly stop unfinished. */
static void hurry(struct vm *m)
{
	if (m->state != VM_STOPPING || m->stop_status < 0 || m->hurried)
		return;
	m->hurried = true;
	loop_timer_start(&m->control, &m->stop_timer, STOP_AGAIN_NS, stop_late);
}

static void read_signal(struct vm *m)
{
	io_uring_prep_read(loop_sqe(&m->control, &m->signal_op), m->signal_fd, m->signal_buf,
		sizeof(struct signalfd_siginfo), 0);
}

static void on_signal(struct loop_op *op, int res)
{
	struct vm *m = container_of(op, struct vm, signal_op);
	struct signalfd_siginfo info;

	_Static_assert(sizeof(info) <= sizeof(m->signal_buf), "signal buffer");
	if (res == (int)sizeof(info)) {
		memcpy(&info, m->signal_buf, sizeof(info));
		log_info("signal %u: ending the partition", info.ssi_signo);
		hurry(m);
		vm_stop(m, 128 + (int)info.ssi_signo);
	}
	if (res > 0 || res == -EINTR)
		read_signal(m);
}

static int open_signals(struct vm *m, struct err *e)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGHUP);
	pthread_sigmask(SIG_BLOCK, &set, NULL); /* before any thread starts: all inherit it */
	signal(SIGPIPE, SIG_IGN);
	m->signal_fd = signalfd(-1, &set, SFD_CLOEXEC);
	if (m->signal_fd < 0)
		return err_set(e, -errno, "signalfd: %s", strerror(errno));
	m->signal_op.done = on_signal;
	read_signal(m);
	return 0;
}

/* ---- the machine: what outlives a boot ----------------------------------- */

/* Those of the host that we may run on. */
static uint32_t host_cpus(void)
{
	cpu_set_t cpus;

	return sched_getaffinity(0, sizeof(cpus), &cpus) ? 1 : (uint32_t)CPU_COUNT(&cpus);
}

/* On a small host a second I/O thread only adds wake-ups: the VPs need the CPUs. */
static uint32_t io_thread_count(const struct vm_config *o)
{
	if (o->io_threads != VM_AUTO)
		return (uint32_t)o->io_threads;
	return host_cpus() >= 4 && o->cpus > 1 ? 2 : 1;
}

/* Looking costs each I/O thread a CPU: only those that no VP needs. It saves the guest a doorbell
 * and us a wake-up, and lets interrupts be held back (vmbus-host/moderation.h): that pays for some
 * wake-ups' time. */
static bool have_spare_cpus(const struct vm_config *o)
{
	return host_cpus() >= o->cpus + io_thread_count(o);
}

static uint64_t poll_ns(const struct vm_config *o)
{
	uint64_t ns;

	if (o->poll_us != VM_AUTO)
		return (uint64_t)o->poll_us * 1000;
	ns = have_spare_cpus(o) ? wakeup_poll_window_ns() : 0;
	log_debug("I/O threads look for work for up to %llu us", (unsigned long long)ns / 1000);
	return ns;
}

static int start_io_threads(struct vm *m, struct err *e)
{
	uint32_t count = io_thread_count(m->options);
	uint64_t window_ns = poll_ns(m->options);

	for (uint32_t i = 0; i < count; i++) {
		int ret = loop_init(&m->io_thread[i], "io", e);

		if (ret)
			return ret;
		loop_set_polling(&m->io_thread[i], window_ns);
		ret = loop_start(&m->io_thread[i]);
		if (ret) {
			loop_fini(&m->io_thread[i]);
			return err_set(e, ret, "cannot start an I/O thread: %s", strerror(-ret));
		}
		m->io_thread_ptr[i] = &m->io_thread[i];
		m->io_threads++;
	}
	return 0;
}

/* Guest memory is taken page by page when the guest touches it, so that too much of it would fail
 * late and hard. */
static int check_memory(const struct vm_config *o, struct err *e)
{
	uint64_t host = (uint64_t)sysconf(_SC_PHYS_PAGES) * (uint64_t)sysconf(_SC_PAGESIZE);

	if (o->memory <= host)
		return 0;
	return err_set(e, -ENOMEM,
		"memory: %llu MiB is more than this machine has (%llu MiB): use less",
		(unsigned long long)(o->memory / MIB), (unsigned long long)(host / MIB));
}

static int open_all(struct vm *m, struct err *e)
{
	const struct vm_config *o = m->options;
	int ret = check_memory(o, e);

	if (!ret)
		ret = open_signals(m, e);
	if (!ret)
		ret = storage_open(&m->storage, &m->control, o, e);
	if (!ret)
		ret = start_io_threads(m, e);
	if (!ret && o->name) {
		ret = ctl_open(&m->ctl, &m->control, o->name, vm_handle_request, m, e);
		m->ctl_open = !ret;
	}
	return ret;
}

/* The terminal is as it was, and the socket is gone. */
static void close_users(struct vm *m)
{
	if (m->console_open)
		console_close(&m->console);
	if (m->ctl_open)
		ctl_close(&m->ctl);
}

static void close_all(struct vm *m)
{
	close_users(m);
	for (uint32_t i = 0; i < m->io_threads; i++) {
		loop_stop(&m->io_thread[i]);
		loop_join(&m->io_thread[i]);
	}
	/* A post signals its loop after it is seen: no loop ends while another may still do so. */
	for (uint32_t i = 0; i < m->io_threads; i++)
		loop_fini(&m->io_thread[i]);
	storage_close(&m->storage);
	if (m->signal_fd >= 0)
		close(m->signal_fd);
	free(m->crash);
}

int vm_run(struct vm *m, const struct vm_config *options, struct err *e)
{
	int ret;

	memset(m, 0, sizeof(*m));
	m->options = options;
	m->signal_fd = -1;
	m->stop_status = -1;
	m->quiet_task.fn = vps_quiet;
	m->end_task.fn = partition_ended;
	m->crash_task.fn = crash_reported;
	ret = loop_init(&m->control, "control", e);
	if (ret)
		return EXIT_ERROR;
	ret = open_all(m, e);
	if (!ret)
		ret = boot(m, e);
	if (ret) {
		m->exit_status = EXIT_ERROR;
		if (!e->text[0])
			err_set(e, ret, "cannot start the partition: %s", strerror(-ret));
	} else {
		loop_run(&m->control);
		if (m->error.text[0])
			*e = m->error;
	}
	if (m->abandoned) {
		close_users(m);
		return m->exit_status;
	}
	close_all(m);
	loop_fini(&m->control);
	return m->exit_status;
}
