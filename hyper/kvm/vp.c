/* SPDX-License-Identifier: MIT */
/*
 * Virtual processors: one thread each, which does nothing but KVM_RUN and
 * answer its exits. It never blocks on another thread and never touches bus or
 * channel state; hypercalls reach the embedder through hv connections.
 *
 * The hypercall page (hyper/hv/hcall_page.c) leaves the guest by port I/O:
 * HV_PORT_SIGNAL is absorbed in the kernel by the doorbells' ioeventfds, what
 * no doorbell took and HV_PORT_HYPERCALL arrive here.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "base/log.h"
#include "base/thread.h"
#include "hyper/kvm/cpuid.h"
#include "hyper/kvm/partition_impl.h"

#define CR0_PE        0x00000001ull
#define CR0_ET        0x00000010ull
#define CR0_LONG_MODE 0x80050033ull /* PE MP ET NE WP AM PG */
#define CR4_PAE       0x20ull
#define EFER_LME_LMA  0x500ull
#define RESET_RIP     0xFFF0u

#define BUS_LOCK_DELAY_NS 100000

/* The kvm_run page of the VP that this thread runs. */
static __thread struct kvm_run *this_run;

/* The signal interrupts KVM_RUN; one that comes outside of it makes the next KVM_RUN return. */
static void on_kick(int sig)
{
	(void)sig;
	if (this_run)
		__atomic_store_n(&this_run->immediate_exit, 1, __ATOMIC_SEQ_CST);
}

int vp_install_kick_handler(void)
{
	struct sigaction action = {.sa_handler = on_kick}; /* no SA_RESTART */

	sigemptyset(&action.sa_mask);
	return sigaction(VP_KICK_SIGNAL, &action, NULL) < 0 ? -errno : 0;
}

/* ---- creation ------------------------------------------------------------ */

static int set_cpuid(struct vp *vp, const struct kvm_cpuid2 *shared)
{
	size_t size = sizeof(*shared) + shared->nent * sizeof(shared->entries[0]);
	struct kvm_cpuid2 *own = malloc(size);
	int ret;

	if (!own)
		return -ENOMEM;
	memcpy(own, shared, size);
	cpuid_set_apic_id(own, vp->index);
	ret = ioctl(vp->fd, KVM_SET_CPUID2, own) < 0 ? -errno : 0;
	free(own);
	return ret;
}

static int map_run(struct vp *vp)
{
	int size = ioctl(vp->p->kvm_fd, KVM_GET_VCPU_MMAP_SIZE, 0);
	int sync = ioctl(vp->p->kvm_fd, KVM_CHECK_EXTENSION, KVM_CAP_SYNC_REGS);

	if (size < 0)
		return -errno;
	vp->run = mmap(NULL, (size_t)size, PROT_READ | PROT_WRITE, MAP_SHARED, vp->fd, 0);
	if (vp->run == MAP_FAILED) {
		vp->run = NULL;
		return -errno;
	}
	vp->run_size = (size_t)size;
	vp->sync_regs = sync > 0 && (sync & KVM_SYNC_X86_REGS);
	if (vp->sync_regs)
		vp->run->kvm_valid_regs = KVM_SYNC_X86_REGS;
	return 0;
}

int vp_create(struct partition *p, uint32_t index, const struct kvm_cpuid2 *cpuid, struct err *e)
{
	struct vp *vp = &p->vps[index];
	int ret;

	vp->p = p;
	vp->index = index;
	vp->fd = ioctl(p->vm_fd, KVM_CREATE_VCPU, index);
	if (vp->fd < 0)
		return err_set(e, -errno, "%s: cannot create VP %u: %s", PARTITION_KVM_PATH, index,
			strerror(errno));
	pthread_mutex_init(&vp->kick_lock, NULL);
	ret = map_run(vp);
	if (!ret)
		ret = set_cpuid(vp, cpuid);
	if (ret) {
		vp_destroy(vp);
		return err_set(e, ret, "%s: cannot set up VP %u: %s", PARTITION_KVM_PATH, index,
			strerror(-ret));
	}
	return 0;
}

void vp_destroy(struct vp *vp)
{
	if (vp->run)
		munmap(vp->run, vp->run_size);
	vp->run = NULL;
	if (vp->fd >= 0) {
		close(vp->fd);
		pthread_mutex_destroy(&vp->kick_lock);
	}
	vp->fd = -1;
}

/* ---- MSRs ---------------------------------------------------------------- */

int vp_host_msr(struct vp *vp, unsigned long request, uint32_t index, uint64_t *value)
{
	union {
		struct kvm_msrs msrs;
		uint8_t space[sizeof(struct kvm_msrs) + sizeof(struct kvm_msr_entry)];
	} u = {.msrs = {.nmsrs = 1}};

	u.msrs.entries[0] = (struct kvm_msr_entry){.index = index, .data = *value};
	if (ioctl(vp->fd, request, &u) != 1)
		return -EIO;
	*value = u.msrs.entries[0].data;
	return 0;
}

/* ---- initial state ------------------------------------------------------- */

static struct kvm_segment flat_segment(uint16_t selector, bool code, bool long_mode)
{
	return (struct kvm_segment){
		.limit = 0xFFFFFFFF,
		.selector = selector,
		.type = code ? 0xB : 0x3, /* accessed, writable or readable */
		.present = 1,
		.s = 1,
		.g = 1,
		.db = !(code && long_mode),
		.l = code && long_mode,
	};
}

static void set_segments(struct kvm_sregs *sregs, bool long_mode)
{
	sregs->cs = flat_segment(0x10, true, long_mode);
	sregs->ds = sregs->es = sregs->fs = sregs->gs = sregs->ss =
		flat_segment(0x18, false, long_mode);
	sregs->tr = (struct kvm_segment){.limit = 0xFFFF, .type = 0xB, .present = 1};
}

int vp_set_entry(struct vp *vp, const struct boot_entry *entry, struct err *e)
{
	bool long_mode = entry->mode == BOOT_LONG_MODE;
	struct kvm_regs regs = {
		.rip = entry->rip,
		.rax = entry->rax,
		.rbx = entry->rbx,
		.rsi = entry->rsi,
		.rsp = entry->rsp,
		.rflags = 2,
	};
	struct kvm_sregs sregs;

	if (ioctl(vp->fd, KVM_GET_SREGS, &sregs) < 0)
		goto failed;
	set_segments(&sregs, long_mode);
	sregs.gdt.base = entry->gdt_base;
	sregs.gdt.limit = entry->gdt_limit;
	sregs.idt.base = 0;
	sregs.idt.limit = 0;
	sregs.cr0 = long_mode ? CR0_LONG_MODE : CR0_PE | CR0_ET;
	sregs.cr3 = long_mode ? entry->cr3 : 0;
	sregs.cr4 = long_mode ? CR4_PAE : 0;
	sregs.efer = long_mode ? EFER_LME_LMA : 0;
	if (ioctl(vp->fd, KVM_SET_SREGS, &sregs) < 0 || ioctl(vp->fd, KVM_SET_REGS, &regs) < 0)
		goto failed;
	return 0;
failed:
	return err_set(e, -errno, "%s: cannot set VP %u's registers: %s", PARTITION_KVM_PATH,
		vp->index, strerror(errno));
}

/* ---- exits --------------------------------------------------------------- */

int vp_get_regs(struct vp *vp, struct kvm_regs *regs)
{
	if (vp->sync_regs) {
		*regs = vp->run->s.regs.regs;
		return 0;
	}
	return ioctl(vp->fd, KVM_GET_REGS, regs) < 0 ? -errno : 0;
}

static void set_regs(struct vp *vp, const struct kvm_regs *regs)
{
	if (vp->sync_regs) {
		vp->run->s.regs.regs = *regs;
		vp->run->kvm_dirty_regs |= KVM_SYNC_X86_REGS;
	} else {
		ioctl(vp->fd, KVM_SET_REGS, regs);
	}
}

/* Hypercalls serve 64-bit ring 0 only. A ring-3 program with I/O privilege that writes the port
 * itself gets what an unowned port gives: nothing. */
static bool caller_is_kernel(struct vp *vp)
{
	struct kvm_sregs sregs;

	if (ioctl(vp->fd, KVM_GET_SREGS, &sregs) < 0)
		return false;
	return (sregs.efer & EFER_LME_LMA) == EFER_LME_LMA && sregs.cs.l && sregs.ss.dpl == 0;
}

/* RIP is left alone: KVM completes the OUT on re-entry only when it is unchanged. */
static void on_hypercall(struct vp *vp)
{
	struct kvm_regs regs;
	struct hv_hypercall call;

	count_event(&vp->exits.hypercall);
	if (!caller_is_kernel(vp) || vp_get_regs(vp, &regs))
		return;
	call = (struct hv_hypercall){.control = regs.rcx, .input = regs.rdx, .output = regs.r8};
	regs.rax = hv_hypercall(&vp->p->hv, vp->index, &call);
	set_regs(vp, &regs);
}

/* A fast HvSignalEvent whose connection id has no ioeventfd. The page returns success by itself;
 * Linux ignores the status, but others read it: it is put in place of the page's `xor eax,eax` by
 * resuming at the `ret`. Whether RIP stands before or after the OUT at this exit differs between
 * KVMs, so the place is computed from the page, not from RIP. */
static void on_signal(struct vp *vp, uint32_t connection_id)
{
	struct hv_hypercall call = {
		.control = HV_CALL_SIGNAL_EVENT | HV_HCALL_FAST,
		.input = connection_id,
	};
	struct kvm_regs regs;
	uint64_t result;

	count_event(&vp->exits.signal);
	if (!caller_is_kernel(vp))
		return;
	result = hv_hypercall(&vp->p->hv, vp->index, &call);
	if (result == HV_STATUS_SUCCESS || vp_get_regs(vp, &regs))
		return;
	regs.rax = result;
	regs.rip = (regs.rip & ~(HV_PAGE_SIZE - 1ull)) | HV_HYPERCALL_PAGE_SIGNAL_RET;
	set_regs(vp, &regs);
}

static void on_io_out(struct vp *vp, uint16_t port, const uint8_t *data, unsigned size, unsigned n)
{
	for (unsigned i = 0; i < n; i++, data += size) {
		uint32_t value = 0;

		memcpy(&value, data, size);
		pio_write(&vp->p->pio, port, value, size);
	}
}

static void on_io_in(struct vp *vp, uint16_t port, uint8_t *data, unsigned size, unsigned n)
{
	for (unsigned i = 0; i < n; i++, data += size) {
		uint32_t value = pio_read(&vp->p->pio, port, size);

		memcpy(data, &value, size);
	}
}

static void on_io(struct vp *vp)
{
	struct kvm_run *run = vp->run;
	uint8_t *data = (uint8_t *)run + run->io.data_offset;
	uint32_t value;

	if (run->io.direction == KVM_EXIT_IO_OUT && run->io.size == 4 && run->io.count == 1) {
		memcpy(&value, data, 4);
		if (run->io.port == HV_PORT_HYPERCALL) {
			on_hypercall(vp);
			return;
		}
		if (run->io.port == HV_PORT_SIGNAL) {
			on_signal(vp, value);
			return;
		}
	}
	count_event(&vp->exits.io);
	if (run->io.direction == KVM_EXIT_IO_OUT)
		on_io_out(vp, run->io.port, data, run->io.size, run->io.count);
	else
		on_io_in(vp, run->io.port, data, run->io.size, run->io.count);
}

/* There is no MMIO device: reads give all ones, writes vanish, as on an empty bus. */
static void on_mmio(struct vp *vp)
{
	count_event(&vp->exits.mmio);
	if (!vp->run->mmio.is_write)
		memset(vp->run->mmio.data, 0xFF, sizeof(vp->run->mmio.data));
}

static void on_msr(struct vp *vp, bool write)
{
	struct kvm_run *run = vp->run;
	uint64_t value = run->msr.data;
	int ret;

	count_event(&vp->exits.msr);
	if (write) {
		ret = hv_msr_write(&vp->p->hv, vp->index, run->msr.index, value);
	} else {
		ret = hv_msr_read(&vp->p->hv, vp->index, run->msr.index, &value);
		run->msr.data = value;
	}
	run->msr.error = ret != 0;
}

void vp_error(struct vp *vp, const char *what)
{
	struct kvm_regs regs = {0};
	char text[160];

	ioctl(vp->fd, KVM_GET_REGS, &regs);
	snprintf(text, sizeof(text), "VP %u: %s at RIP %#llx", vp->index, what,
		(unsigned long long)regs.rip);
	partition_end(vp->p, PARTITION_VP_ERROR, 0, text);
}

/* Where it happened is all a kernel developer has to go on. AMD leaves the VP's state undefined,
 * and KVM has reset it then, as the instruction pointer shows. why: "" or a reason in brackets. */
static void triple_fault(struct vp *vp, const char *why)
{
	struct kvm_regs regs = {0};
	struct kvm_sregs sregs = {0};
	char text[240];

	if (ioctl(vp->fd, KVM_GET_REGS, &regs) < 0 || ioctl(vp->fd, KVM_GET_SREGS, &sregs) < 0 ||
		(regs.rip == RESET_RIP && sregs.cr3 == 0))
		snprintf(text, sizeof(text), "on VP %u%s (this CPU does not keep its registers)",
			vp->index, why);
	else
		snprintf(text, sizeof(text),
			"on VP %u%s: RIP %#llx RSP %#llx CR2 %#llx CR3 %#llx CR0 %#llx CR4 %#llx",
			vp->index, why, regs.rip, regs.rsp, sregs.cr2, sregs.cr3, sregs.cr0,
			sregs.cr4);
	partition_end(vp->p, PARTITION_TRIPLE_FAULT, 0, text);
}

static void on_other(struct vp *vp)
{
	char what[96];

	count_event(&vp->exits.other);
	switch (vp->run->exit_reason) {
	case KVM_EXIT_SHUTDOWN:
		triple_fault(vp, "");
		return;
	case KVM_EXIT_NOTIFY:
		triple_fault(vp, " (it took no event for too long)");
		return;
	case KVM_EXIT_INTERNAL_ERROR:
		snprintf(what, sizeof(what), "KVM internal error, suberror %u%s",
			vp->run->internal.suberror,
			vp->run->internal.suberror == KVM_INTERNAL_ERROR_EMULATION
				? " (this KVM cannot run that instruction; see `enlite probe`)"
				: "");
		break;
	case KVM_EXIT_FAIL_ENTRY:
		snprintf(what, sizeof(what), "KVM entry failure, hardware reason %#llx",
			(unsigned long long)vp->run->fail_entry.hardware_entry_failure_reason);
		break;
	default:
		snprintf(what, sizeof(what), "unexpected KVM exit %u", vp->run->exit_reason);
		break;
	}
	vp_error(vp, what);
}

/* A bus lock stops all CPUs of the host for a microsecond or so. The VP that takes them pays for
 * it: at most 10,000 in a second. Any exit may report one. */
static void on_bus_lock(struct vp *vp)
{
	const struct timespec delay = {.tv_nsec = BUS_LOCK_DELAY_NS};

	count_event(&vp->exits.bus_lock);
	clock_nanosleep(CLOCK_MONOTONIC, 0, &delay, NULL);
}

static void on_exit_reason(struct vp *vp)
{
	switch (vp->run->exit_reason) {
	case KVM_EXIT_IO:
		on_io(vp);
		break;
	case KVM_EXIT_X86_RDMSR:
		on_msr(vp, false);
		break;
	case KVM_EXIT_X86_WRMSR:
		on_msr(vp, true);
		break;
	case KVM_EXIT_MMIO:
		on_mmio(vp);
		break;
	case KVM_EXIT_INTR:
		count_event(&vp->exits.interrupted);
		break;
	case KVM_EXIT_X86_BUS_LOCK:
		break; /* all is done */
	default:
		on_other(vp);
		break;
	}
}

bool vp_run_once(struct vp *vp)
{
	char what[64];
	int ret;

	if (!flush_before_run(vp))
		return false;
	ret = ioctl(vp->fd, KVM_RUN, 0);
	flush_after_run(vp);
	if (ret == 0) {
		if (vp->run->flags & KVM_RUN_X86_BUS_LOCK)
			on_bus_lock(vp);
		on_exit_reason(vp);
		return true;
	}
	if (errno == EINTR || errno == EAGAIN) {
		count_event(&vp->exits.interrupted);
		return false;
	}
	snprintf(what, sizeof(what), "KVM_RUN: %s", strerror(errno));
	vp_error(vp, what);
	return false;
}

static bool may_run(const struct partition *p)
{
	return !atomic_load(&p->stopping) && !atomic_load(&p->ended);
}

/* The reason of a kick is read after the kick is taken back: one that comes later sets it again. */
void vp_take_kick(struct vp *vp)
{
	__atomic_store_n(&vp->run->immediate_exit, 0, __ATOMIC_SEQ_CST);
}

bool vp_is_kicked(struct vp *vp)
{
	return __atomic_load_n(&vp->run->immediate_exit, __ATOMIC_SEQ_CST);
}

/* From here on its thread may end, and is kicked no more. */
static void stop_kicks(struct vp *vp)
{
	pthread_mutex_lock(&vp->kick_lock);
	vp->running = false;
	pthread_mutex_unlock(&vp->kick_lock);
}

static void *vp_main(void *arg)
{
	struct vp *vp = arg;
	struct partition *p = vp->p;
	char name[16];

	snprintf(name, sizeof(name), "vp%u", vp->index);
	thread_enter(THREAD_VP, name);
	this_run = vp->run;
	if (p->restored) {
		pause_vp_wait(vp);
		auto_eoi_deliver(vp); /* what it was not kicked for */
	}
	while (may_run(p)) {
		if (vp_run_once(vp))
			continue;
		vp_take_kick(vp);
		if (atomic_load(&p->pause.wanted) && may_run(p))
			pause_vp_park(vp);
		auto_eoi_deliver(vp);
	}
	auto_eoi_end(vp);
	stop_kicks(vp);
	flush_vp_ends(vp);
	pause_vp_ends(p);
	return NULL;
}

int vp_start(struct vp *vp, struct err *e)
{
	int ret;

	pause_vp_starts(vp->p);
	pthread_mutex_lock(&vp->kick_lock);
	ret = pthread_create(&vp->thread, NULL, vp_main, vp);
	vp->running = ret == 0;
	pthread_mutex_unlock(&vp->kick_lock);
	if (ret) {
		pause_vp_ends(vp->p);
		return err_set(
			e, -ret, "cannot start the thread of VP %u: %s", vp->index, strerror(ret));
	}
	vp->started = true;
	return 0;
}

/* immediate_exit covers the time before KVM_RUN, the signal the time inside it. */
void vp_kick(struct vp *vp)
{
	pthread_mutex_lock(&vp->kick_lock);
	if (vp->running) {
		__atomic_store_n(&vp->run->immediate_exit, 1, __ATOMIC_SEQ_CST);
		if (!pthread_equal(vp->thread, pthread_self()))
			pthread_kill(vp->thread, VP_KICK_SIGNAL);
	}
	pthread_mutex_unlock(&vp->kick_lock);
}
