/* SPDX-License-Identifier: MIT */
/*
 * Interrupts into KVM's in-kernel interrupt controllers.
 *
 * GSIs 0..23 are the IO-APIC pins (0..15 the PIC's too); above them stands one
 * MSI route per (VP, SINT) with an irqfd, created when the SINT first gets a
 * vector. So raising a SINT is one eventfd write, from any thread or process.
 * KVM takes the whole routing table at once: it is rebuilt on each change,
 * which happens a few times per boot.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "base/log.h"
#include "hyper/kvm/partition_impl.h"

#define IOAPIC_PINS   24u
#define PIC_PINS      16u
#define GSI_SINT_BASE IOAPIC_PINS
#define MSI_ADDRESS   0xFEE00000u

static uint32_t sint_gsi(uint32_t vp, uint32_t sint)
{
	return GSI_SINT_BASE + vp * HV_SINT_COUNT + sint;
}

/* Fixed delivery, edge, physical destination. APIC ids stay below 255 (HV_VPS_MAX). */
static uint32_t msi_address(uint32_t vp)
{
	return MSI_ADDRESS | (vp & 0xFFu) << 12;
}

static void add_chip_route(struct kvm_irq_routing *table, uint32_t gsi, uint32_t chip, uint32_t pin)
{
	struct kvm_irq_routing_entry *entry = &table->entries[table->nr++];

	entry->gsi = gsi;
	entry->type = KVM_IRQ_ROUTING_IRQCHIP;
	entry->u.irqchip.irqchip = chip;
	entry->u.irqchip.pin = pin;
}

static void add_legacy_routes(struct kvm_irq_routing *table)
{
	for (uint32_t pin = 0; pin < IOAPIC_PINS; pin++) {
		if (pin < PIC_PINS)
			add_chip_route(table, pin,
				pin < 8 ? KVM_IRQCHIP_PIC_MASTER : KVM_IRQCHIP_PIC_SLAVE, pin % 8);
		add_chip_route(table, pin, KVM_IRQCHIP_IOAPIC, pin);
	}
}

static void add_sint_route(
	struct kvm_irq_routing *table, uint32_t vp, uint32_t sint, uint8_t vector)
{
	struct kvm_irq_routing_entry *entry = &table->entries[table->nr++];

	entry->gsi = sint_gsi(vp, sint);
	entry->type = KVM_IRQ_ROUTING_MSI;
	entry->u.msi.address_lo = msi_address(vp);
	entry->u.msi.data = vector;
}

/* Under irq.lock. */
static int set_routing(struct partition *p)
{
	size_t max = IOAPIC_PINS + PIC_PINS + (size_t)p->irq.vp_count * HV_SINT_COUNT;
	struct kvm_irq_routing *table = calloc(1, sizeof(*table) + max * sizeof(table->entries[0]));
	int ret;

	if (!table)
		return -ENOMEM;
	add_legacy_routes(table);
	for (uint32_t vp = 0; vp < p->irq.vp_count; vp++)
		for (uint32_t sint = 0; sint < HV_SINT_COUNT; sint++)
			if (p->irq.route[vp][sint].vector)
				add_sint_route(table, vp, sint, p->irq.route[vp][sint].vector);
	ret = ioctl(p->vm_fd, KVM_SET_GSI_ROUTING, table) < 0 ? -errno : 0;
	free(table);
	return ret;
}

/* Under irq.lock. */
static int open_irqfd(struct partition *p, uint32_t vp, uint32_t sint)
{
	struct irq_route *route = &p->irq.route[vp][sint];
	struct kvm_irqfd irqfd = {.gsi = sint_gsi(vp, sint)};
	int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);

	if (fd < 0)
		return -errno;
	irqfd.fd = (uint32_t)fd;
	if (ioctl(p->vm_fd, KVM_IRQFD, &irqfd) < 0) {
		int ret = -errno;

		close(fd);
		return ret;
	}
	__atomic_store_n(&route->eventfd, fd, __ATOMIC_RELEASE);
	return 0;
}

int irq_init(struct partition *p, struct err *e)
{
	struct irq_table *irq = &p->irq;
	int ret;

	irq->route = calloc(p->config.vp_count, sizeof(*irq->route));
	if (!irq->route)
		return err_set(e, -ENOMEM, "no memory for interrupt routes");
	irq->vp_count = p->config.vp_count;
	for (uint32_t vp = 0; vp < irq->vp_count; vp++)
		for (uint32_t sint = 0; sint < HV_SINT_COUNT; sint++)
			irq->route[vp][sint].eventfd = -1;
	pthread_mutex_init(&irq->lock, NULL);
	ret = set_routing(p);
	if (ret)
		return err_set(
			e, ret, "%s: KVM_SET_GSI_ROUTING: %s", PARTITION_KVM_PATH, strerror(-ret));
	return 0;
}

void irq_fini(struct partition *p)
{
	struct irq_table *irq = &p->irq;

	if (!irq->route)
		return;
	for (uint32_t vp = 0; vp < irq->vp_count; vp++)
		for (uint32_t sint = 0; sint < HV_SINT_COUNT; sint++)
			if (irq->route[vp][sint].eventfd >= 0)
				close(irq->route[vp][sint].eventfd);
	pthread_mutex_destroy(&irq->lock);
	free(irq->route);
	irq->route = NULL;
}

/* A new vector for a SINT; 0 masks it. VP thread. */
void irq_set_sint(struct partition *p, uint32_t vp, uint32_t sint, uint8_t vector)
{
	struct irq_route *route = &p->irq.route[vp][sint];
	int ret = 0;

	pthread_mutex_lock(&p->irq.lock);
	if (route->vector != vector) {
		__atomic_store_n(&route->vector, vector, __ATOMIC_RELAXED);
		ret = set_routing(p);
	}
	if (!ret && vector && route->eventfd < 0)
		ret = open_irqfd(p, vp, sint);
	pthread_mutex_unlock(&p->irq.lock);
	if (ret)
		log_guest("interrupt route of VP %u SINT %u: %s; it takes the slow way", vp, sint,
			strerror(-ret));
}

/* Without an irqfd (out of file descriptors) the interrupt is sent by hand. */
void irq_inject_sint(struct partition *p, uint32_t vp, uint32_t sint)
{
	struct irq_route *route = &p->irq.route[vp][sint];
	int fd = __atomic_load_n(&route->eventfd, __ATOMIC_ACQUIRE);
	uint8_t vector = __atomic_load_n(&route->vector, __ATOMIC_RELAXED);

	if (fd >= 0)
		eventfd_write(fd, 1);
	else if (vector)
		irq_inject_vector(p, vp, vector);
}

void irq_inject_vector(struct partition *p, uint32_t vp, uint8_t vector)
{
	struct kvm_msi msi = {.address_lo = msi_address(vp), .data = vector};

	ioctl(p->vm_fd, KVM_SIGNAL_MSI, &msi);
}

void irq_set_line(struct partition *p, uint32_t gsi, bool level)
{
	struct kvm_irq_level line = {.irq = gsi, .level = level};

	ioctl(p->vm_fd, KVM_IRQ_LINE, &line);
}
