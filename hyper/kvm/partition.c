/* SPDX-License-Identifier: MIT */
/*
 * The life of a partition, and the seams between its parts: KVM below, the
 * Hyper-V interface (hyper/hv), the devices (hyper/dev), the embedder above.
 *
 * created -> loaded -> started -> ended (by the guest) -> stopped -> destroyed.
 * Start order is the order of the functions in partition_create() and
 * partition_start(); stop order is its mirror.
 */
#include "hyper/kvm/partition.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "base/files.h"
#include "base/gmem_pages.h"
#include "hyper/kvm/partition_impl.h"

/* Three pages KVM needs on VMX; below the IO-APIC, in no RAM range. */
#define IDENTITY_MAP_GPA 0xFEBFC000ull
#define TSS_GPA          0xFEBFD000ull

#define KVM_API 12

/* ---- ends ---------------------------------------------------------------- */

void partition_end(struct partition *p, enum partition_end reason, int status, const char *text)
{
	if (!atomic_exchange(&p->ended, true))
		p->config.events.end(p->config.events.ctx, reason, status, text ? text : "");
}

static void end_power_off(void *ctx)
{
	partition_end(ctx, PARTITION_POWER_OFF, 0, NULL);
}

static void end_reset(void *ctx)
{
	partition_end(ctx, PARTITION_RESET, 0, NULL);
}

static void end_debug_exit(void *ctx, int status)
{
	partition_end(ctx, PARTITION_DEBUG_EXIT, status, NULL);
}

static void report_crash(void *ctx, const struct hv_crash *crash)
{
	struct partition *p = ctx;

	p->config.events.crash(p->config.events.ctx, crash);
}

/* ---- the port of hyper/hv ------------------------------------------------ */

static void port_inject(void *ctx, uint32_t vp, uint32_t sint, uint8_t vector)
{
	irq_inject_sint(ctx, vp, sint);
}

static void port_sint_changed(void *ctx, uint32_t vp, uint32_t sint, uint8_t vector)
{
	irq_set_sint(ctx, vp, sint, vector);
}

static void port_inject_auto_eoi(void *ctx, uint32_t vp, uint8_t vector)
{
	auto_eoi_inject(ctx, vp, vector);
}

static void port_inject_direct(void *ctx, uint32_t vp, uint8_t vector)
{
	irq_inject_vector(ctx, vp, vector);
}

static void port_flush_tlb(void *ctx, uint32_t caller, uint64_t vps)
{
	flush_vps(ctx, caller, vps);
}

static int port_discard(void *ctx, uint64_t gpa, uint64_t bytes)
{
	struct partition *p = ctx;
	const struct gmem_run run = {gpa, bytes / GMEM_PAGE_SIZE};

	return gmem_pages_discard(&p->gmem, &run);
}

static void port_read_xmm(void *ctx, uint32_t vp, uint8_t xmm[HV_HCALL_XMM_SIZE])
{
	struct partition *p = ctx;
	struct kvm_fpu fpu = {0};

	ioctl(p->vps[vp].fd, KVM_GET_FPU, &fpu);
	memcpy(xmm, fpu.xmm, HV_HCALL_XMM_SIZE);
}

static uint64_t port_guest_tsc(void *ctx)
{
	return clock_guest_tsc(ctx);
}

static void port_timer_arm(void *ctx, uint32_t vp, uint64_t ref_time)
{
	stimer_thread_arm(ctx, vp, ref_time);
}

/* KVM hides the invariant-TSC bit of CPUID until its own copy of this MSR is set, on kernels
 * that know it. Others fail, which does not matter. */
static void port_tsc_invariant(void *ctx, uint32_t vp)
{
	struct partition *p = ctx;
	uint64_t one = 1;

	vp_host_msr(&p->vps[vp], KVM_SET_MSRS, HV_MSR_TSC_INVARIANT_CTL, &one);
}

static const struct hv_port_ops hv_port = {
	.inject = port_inject,
	.sint_changed = port_sint_changed,
	.inject_auto_eoi = port_inject_auto_eoi,
	.inject_direct = port_inject_direct,
	.flush_tlb = port_flush_tlb,
	.discard = port_discard,
	.read_xmm = port_read_xmm,
	.guest_tsc = port_guest_tsc,
	.timer_arm = port_timer_arm,
	.tsc_invariant = port_tsc_invariant,
	.reset = end_reset,
	.crash = report_crash,
};

/* ---- KVM ----------------------------------------------------------------- */

static int check_version(int fd, struct err *e)
{
	int version = ioctl(fd, KVM_GET_API_VERSION, 0);

	if (version < 0)
		return err_set(e, -errno, "%s: not a KVM device (%s); see `enlite probe`",
			PARTITION_KVM_PATH, strerror(errno));
	if (version != KVM_API)
		return err_set(e, -EPROTO, "%s: KVM API version %d, need %d: use another kernel",
			PARTITION_KVM_PATH, version, KVM_API);
	return 0;
}

int partition_open_kvm(struct err *e)
{
	int fd = files_open(PARTITION_KVM_PATH, O_RDWR | O_CLOEXEC, 0), ret;

	if (fd < 0 && errno == ENOENT)
		return err_set(e, -ENOENT,
			"%s does not exist: load kvm_intel or kvm_amd, or use bed/run to run inside the nested bed",
			PARTITION_KVM_PATH);
	if (fd < 0)
		return err_set(e, -errno, "%s: %s: run as root or join the group that owns it",
			PARTITION_KVM_PATH, strerror(errno));
	ret = check_version(fd, e);
	if (!ret)
		return fd;
	close(fd);
	return ret;
}

static const struct {
	int cap;
	const char *name;
} needed_caps[] = {
	{KVM_CAP_USER_MEMORY, "KVM_CAP_USER_MEMORY"},
	{KVM_CAP_IRQCHIP, "KVM_CAP_IRQCHIP"},
	{KVM_CAP_IOEVENTFD, "KVM_CAP_IOEVENTFD"},
	{KVM_CAP_IRQFD, "KVM_CAP_IRQFD"},
	{KVM_CAP_IRQ_ROUTING, "KVM_CAP_IRQ_ROUTING"},
	{KVM_CAP_SIGNAL_MSI, "KVM_CAP_SIGNAL_MSI"},
	{KVM_CAP_IMMEDIATE_EXIT, "KVM_CAP_IMMEDIATE_EXIT"},
	{KVM_CAP_X86_USER_SPACE_MSR, "KVM_CAP_X86_USER_SPACE_MSR"},
	{KVM_CAP_X86_MSR_FILTER, "KVM_CAP_X86_MSR_FILTER"},
	{KVM_CAP_GET_TSC_KHZ, "KVM_CAP_GET_TSC_KHZ"},
};

static int check_caps(struct partition *p, struct err *e)
{
	int vcpus;

	for (size_t i = 0; i < sizeof(needed_caps) / sizeof(needed_caps[0]); i++)
		if (ioctl(p->kvm_fd, KVM_CHECK_EXTENSION, needed_caps[i].cap) <= 0)
			return err_set(e, -ENOTSUP, "%s lacks %s: see `enlite probe`",
				PARTITION_KVM_PATH, needed_caps[i].name);
	vcpus = ioctl(p->kvm_fd, KVM_CHECK_EXTENSION, KVM_CAP_MAX_VCPUS);
	if (vcpus > 0 && (uint32_t)vcpus < p->config.vp_count)
		return err_set(e, -EINVAL, "cpus: %u: %s runs at most %d", p->config.vp_count,
			PARTITION_KVM_PATH, vcpus);
	return 0;
}

/* All of HV_MSR_FIRST..LAST leaves to user space: the bitmap is zero, which denies. */
static int filter_msrs(struct partition *p)
{
	static uint8_t denied[(HV_MSR_LAST - HV_MSR_FIRST + 1) / 8];
	struct kvm_enable_cap cap = {
		.cap = KVM_CAP_X86_USER_SPACE_MSR,
		.args = {KVM_MSR_EXIT_REASON_FILTER},
	};
	struct kvm_msr_filter filter = {
		.flags = KVM_MSR_FILTER_DEFAULT_ALLOW,
		.ranges[0] =
			{
				.flags = KVM_MSR_FILTER_READ | KVM_MSR_FILTER_WRITE,
				.base = HV_MSR_FIRST,
				.nmsrs = HV_MSR_LAST - HV_MSR_FIRST + 1,
				.bitmap = denied,
			},
	};

	if (ioctl(p->vm_fd, KVM_ENABLE_CAP, &cap) < 0 ||
		ioctl(p->vm_fd, KVM_X86_SET_MSR_FILTER, &filter) < 0)
		return -errno;
	return 0;
}

static int create_vm(struct partition *p, struct err *e)
{
	uint64_t identity = IDENTITY_MAP_GPA;
	const char *what = "KVM_CREATE_VM";

	p->vm_fd = ioctl(p->kvm_fd, KVM_CREATE_VM, 0);
	if (p->vm_fd < 0)
		goto failed;
	what = "KVM_SET_IDENTITY_MAP_ADDR";
	if (ioctl(p->vm_fd, KVM_SET_IDENTITY_MAP_ADDR, &identity) < 0)
		goto failed;
	what = "KVM_SET_TSS_ADDR";
	if (ioctl(p->vm_fd, KVM_SET_TSS_ADDR, TSS_GPA) < 0)
		goto failed;
	what = "KVM_CREATE_IRQCHIP";
	if (ioctl(p->vm_fd, KVM_CREATE_IRQCHIP, 0) < 0)
		goto failed;
	what = "KVM_X86_SET_MSR_FILTER";
	if (filter_msrs(p))
		goto failed;
	vm_caps_enable(p);
	return 0;
failed:
	return err_set(e, -errno, "%s: %s: %s", PARTITION_KVM_PATH, what, strerror(errno));
}

static int set_slot(struct partition *p, uint32_t slot, uint64_t gpa, uint64_t size)
{
	struct kvm_userspace_memory_region region = {
		.slot = slot,
		.guest_phys_addr = gpa,
		.memory_size = size,
		.userspace_addr = (uint64_t)(p->gmem.base + gpa),
	};

	if (size == 0)
		return 0;
	return ioctl(p->vm_fd, KVM_SET_USER_MEMORY_REGION, &region) < 0 ? -errno : 0;
}

static int create_gmem(struct partition *p, struct err *e)
{
	const struct partition_config *c = &p->config;

	if (c->memory_dynamic)
		return gmem_create_dynamic(&p->gmem,
			c->memory_shared ? GMEM_SHARED : GMEM_ANONYMOUS, c->memory_size,
			c->memory_more, e);
	return c->memory_shared ? gmem_create_shared(&p->gmem, c->memory_size, e)
				: gmem_create(&p->gmem, c->memory_size, e);
}

static int create_memory(struct partition *p, struct err *e)
{
	int ret = p->gmem.base ? 0 : create_gmem(p, e);

	if (ret)
		return ret;
	ret = set_slot(p, SLOT_RAM_LOW, 0, RESET_ROM_LOW_GPA);
	if (!ret)
		ret = set_slot(
			p, SLOT_RAM_REST, RESET_ROM_LOW_END, p->gmem.low_size - RESET_ROM_LOW_END);
	if (!ret)
		ret = set_slot(p, SLOT_RAM_HIGH, GMEM_HIGH_START, p->gmem.high_size);
	if (!ret)
		ret = reset_rom_create(p);
	if (ret)
		return err_set(e, ret, "%s: cannot map guest memory: %s", PARTITION_KVM_PATH,
			strerror(-ret));
	return 0;
}

int partition_add_memory(struct partition *p, uint64_t size)
{
	uint64_t before = p->gmem.added_size;
	int ret;

	if (size <= before)
		return 0;
	size = gmem_added_piece(&p->gmem, size);
	assert(p->slots_added < GMEM_ADDED_PIECES);
	ret = gmem_map_added(&p->gmem, size);
	if (!ret)
		ret = set_slot(p, SLOT_RAM_ADDED + p->slots_added, p->gmem.added_start + before,
			size - before);
	if (ret)
		return ret;
	p->slots_added++;
	gmem_publish_added(&p->gmem, size);
	return 0;
}

/* ---- creation ------------------------------------------------------------ */

static void line_set(void *ctx, bool level)
{
	struct irq_line *line = ctx;

	irq_set_line(line->p, line->gsi, level);
}

static void console_output(void *ctx, uint8_t byte)
{
	struct partition *p = ctx;

	p->config.events.console(p->config.events.ctx, byte);
}

static int add_devices(struct partition *p)
{
	struct power_control control = {
		.power_off = end_power_off,
		.reset = end_reset,
		.debug_exit = end_debug_exit,
		.ctx = p,
	};
	struct dev_irq com1 = {.set = line_set, .ctx = &p->serial_line};
	struct dev_irq sci = {.set = line_set, .ctx = &p->sci_line};
	int ret;

	p->serial_line = (struct irq_line){.p = p, .gsi = SERIAL_GSI};
	p->sci_line = (struct irq_line){.p = p, .gsi = ACPI_SCI_GSI};
	ret = serial_init(&p->serial, &p->pio, com1, console_output, p);
	if (!ret)
		ret = rtc_init(&p->rtc, &p->pio);
	if (!ret)
		ret = acpi_pm_init(&p->pm, &p->pio, control, sci);
	if (!ret)
		ret = i8042_init(&p->i8042, &p->pio, control);
	if (!ret && p->config.test_device)
		ret = debug_exit_init(&p->debug_exit, &p->pio, control);
	return ret;
}

static int create_hv(struct partition *p, struct err *e)
{
	int khz = ioctl(p->vm_fd, KVM_GET_TSC_KHZ, 0), ret;

	if (khz <= 0)
		khz = ioctl(p->vps[0].fd, KVM_GET_TSC_KHZ, 0);
	if (khz <= 0)
		return err_set(e, -EIO, "%s does not say its TSC frequency", PARTITION_KVM_PATH);
	p->tsc_khz = (uint64_t)khz;
	p->hv_config.tsc_hz = p->tsc_khz * 1000;
	ret = clock_init(p, e);
	if (ret)
		return ret;
	ret = hv_init(&p->hv, &p->hv_config);
	if (ret)
		return err_set(e, ret, "cannot set up the Hyper-V interface: %s", strerror(-ret));
	p->hv_ready = true;
	if (p->config.test_device) {
		ret = testdev_init(&p->testdev, &p->pio, &p->hv);
		if (ret)
			return err_set(e, ret, "cannot add the test device: %s", strerror(-ret));
	}
	return 0;
}

/* What lies beyond no guest can use. */
static int check_address_bits(struct partition *p, const struct kvm_cpuid2 *cpuid, struct err *e)
{
	uint32_t bits = kvm_cpuid_address_bits(cpuid);

	if (gmem_end_max(&p->gmem) <= 1ull << bits)
		return 0;
	return err_set(e, -EINVAL,
		"memory: RAM would end at %llu GiB; addresses of this CPU have %u bits: use less",
		(unsigned long long)(gmem_end_max(&p->gmem) >> 30), bits);
}

static int create_vps(struct partition *p, struct err *e)
{
	int ret;

	p->vps = calloc(p->config.vp_count, sizeof(*p->vps));
	if (!p->vps)
		return err_set(e, -ENOMEM, "no memory for %u VPs", p->config.vp_count);
	ret = kvm_cpuid_build(p, &p->cpuid, e);
	if (!ret && p->config.restore)
		ret = partition_machine_restore(p, p->config.restore, &p->cpuid, e);
	if (ret)
		return ret;
	ret = check_address_bits(p, p->cpuid, e);
	p->xsave_components = kvm_cpuid_xsave_components(p->cpuid);
	for (uint32_t i = 0; i < p->config.vp_count && !ret; i++) {
		ret = vp_create(p, i, p->cpuid, e);
		if (!ret)
			p->vps_created++;
	}
	return ret;
}

int partition_create(struct partition **out, const struct partition_config *config, struct err *e)
{
	struct partition *p;
	int ret;

	assert(config->vp_count >= 1 && config->vp_count <= HV_VPS_MAX);
	p = calloc(1, sizeof(*p));
	if (!p)
		return err_set(e, -ENOMEM, "no memory for a partition");
	p->config = *config;
	p->hv_config = (struct hv_config){
		.gmem = &p->gmem,
		.vp_count = config->vp_count,
		.budget = config->budget,
		.stimer = config->stimer,
		.flush = !config->nested,
		.discard = config->memory_dynamic,
		.port = &hv_port,
		.ctx = p,
	};
	p->kvm_fd = config->kvm_fd;
	p->vm_fd = p->gmem.memfd = -1;
	if (config->memory)
		p->gmem = *config->memory;
	list_init(&p->doorbells);
	pause_init(p);
	flush_init(p);
	ret = vp_install_kick_handler();
	if (!ret)
		ret = check_caps(p, e);
	if (!ret)
		ret = create_vm(p, e);
	if (!ret)
		ret = create_memory(p, e);
	if (!ret)
		ret = irq_init(p, e);
	if (!ret)
		ret = add_devices(p);
	if (!ret)
		ret = create_vps(p, e);
	if (!ret)
		ret = create_hv(p, e);
	if (ret) {
		partition_destroy(p);
		return ret;
	}
	*out = p;
	return 0;
}

void partition_destroy(struct partition *p)
{
	partition_stop(p);
	doorbells_free(p);
	if (p->hv_ready) {
		if (p->config.test_device)
			testdev_fini(&p->testdev);
		hv_fini(&p->hv);
	}
	for (uint32_t i = 0; i < p->vps_created; i++)
		vp_destroy(&p->vps[i]);
	free(p->vps);
	free(p->cpuid);
	irq_fini(p);
	if (p->vm_fd >= 0)
		close(p->vm_fd);
	reset_rom_destroy(p);
	if (p->gmem.base)
		gmem_destroy(&p->gmem);
	flush_fini(p);
	pause_fini(p);
	free(p);
}

/* ---- running ------------------------------------------------------------- */

int partition_load(struct partition *p, const struct boot_config *boot, struct err *e)
{
	int ret = boot_load(&p->gmem, boot, &p->entry, e);

	return ret ? ret : vp_set_entry(&p->vps[0], &p->entry, e);
}

int partition_start(struct partition *p, struct err *e)
{
	int ret = p->config.stimer ? stimer_thread_start(p) : 0;

	if (ret)
		return err_set(e, ret, "cannot start the timer thread: %s", strerror(-ret));
	if (p->restored) {
		stimer_thread_pause(p);
		hv_restored(&p->hv);
	}
	for (uint32_t i = 0; i < p->config.vp_count && !ret; i++)
		ret = vp_start(&p->vps[i], e);
	if (ret)
		partition_stop(p);
	return ret;
}

void partition_stop(struct partition *p)
{
	atomic_store(&p->stopping, true);
	pause_end(p);
	for (uint32_t i = 0; i < p->vps_created; i++)
		vp_kick(&p->vps[i]);
	for (uint32_t i = 0; i < p->vps_created; i++) {
		if (p->vps[i].started)
			pthread_join(p->vps[i].thread, NULL);
		p->vps[i].started = false;
	}
	stimer_thread_stop(p);
}

const struct gmem *partition_gmem(const struct partition *p)
{
	return &p->gmem;
}

struct hv *partition_hv(struct partition *p)
{
	return &p->hv;
}

size_t partition_console_input(struct partition *p, const uint8_t *bytes, size_t count)
{
	return serial_input(&p->serial, bytes, count);
}

void partition_power_button(struct partition *p)
{
	acpi_pm_power_button(&p->pm);
}

static uint64_t read_count(const _Atomic uint64_t *count)
{
	return atomic_load_explicit(count, memory_order_relaxed);
}

void partition_vp_exits(struct partition *p, uint32_t vp, struct partition_exits *exits)
{
	struct vp *from = &p->vps[vp];

	*exits = (struct partition_exits){
		.io = read_count(&from->exits.io),
		.mmio = read_count(&from->exits.mmio),
		.msr = read_count(&from->exits.msr),
		.hypercall = read_count(&from->exits.hypercall),
		.signal = read_count(&from->exits.signal),
		.interrupted = read_count(&from->exits.interrupted),
		.bus_lock = read_count(&from->exits.bus_lock),
		.other = read_count(&from->exits.other),
	};
}

void partition_exits(struct partition *p, struct partition_exits *sum)
{
	memset(sum, 0, sizeof(*sum));
	for (uint32_t i = 0; i < p->vps_created; i++) {
		struct partition_exits x;

		partition_vp_exits(p, i, &x);
		sum->io += x.io;
		sum->mmio += x.mmio;
		sum->msr += x.msr;
		sum->hypercall += x.hypercall;
		sum->signal += x.signal;
		sum->interrupted += x.interrupted;
		sum->bus_lock += x.bus_lock;
		sum->other += x.other;
	}
}
