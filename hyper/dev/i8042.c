/* SPDX-License-Identifier: MIT */
/*
 * Two ways to reset a PC, and the ports by which guests detect that there is no PCI.
 *
 * Port 0x64. By the FADT there is no keyboard controller, so Linux does not probe
 * it; but a rebooting Linux waits for "input buffer empty" (bit 1 clear) before
 * it writes 0xFE: 1.3 s if the port reads all ones, no time with status 0. No
 * guest can hang while it drains an output buffer that is always empty.
 *
 * Ports 0xCF8-0xCFF. Configuration mechanism 1 exists if 0xCF8 reads back the
 * 0x80000000 just written, mechanism 2 if 0xCF8 and 0xCFA read 0: all ones
 * exclude both in four accesses, and are also the data of an empty bus. Linux's
 * scan for K8 GARTs (CONFIG_GART_IOMMU on AMD families 0Fh, 10h, 15h) checks for
 * neither and reads 2 x 8192 devices; all ones cost it one read per device, other
 * values two.
 *
 * Port 0xCF9 is the reset control register: bit 2 resets. Only as a byte: a
 * 32-bit write to 0xCF8 is an address, whatever its second byte.
 */
#include "hyper/dev/dev.h"

#define I8042_CMD_RESET 0xFEu
#define CF9_PORT        (PCI_CONFIG_PORT + 1)
#define CF9_RESET       0x04u

static uint32_t i8042_read(void *ctx, uint16_t port, unsigned size)
{
	return 0;
}

static void i8042_write(void *ctx, uint16_t port, uint32_t value, unsigned size)
{
	struct i8042 *k = ctx;

	if (value == I8042_CMD_RESET)
		k->control.reset(k->control.ctx);
}

static uint32_t pci_read(void *ctx, uint16_t port, unsigned size)
{
	return port == CF9_PORT && size == 1 ? 0 : PIO_NOBODY;
}

static void pci_write(void *ctx, uint16_t port, uint32_t value, unsigned size)
{
	struct i8042 *k = ctx;

	if (port == CF9_PORT && size == 1 && (value & CF9_RESET))
		k->control.reset(k->control.ctx);
}

static const struct pio_ops i8042_ops = {
	.read = i8042_read,
	.write = i8042_write,
};

static const struct pio_ops pci_ops = {
	.read = pci_read,
	.write = pci_write,
};

int i8042_init(struct i8042 *k, struct pio *pio, struct power_control control)
{
	int ret;

	k->control = control;
	ret = pio_add(pio, I8042_STATUS_PORT, 1, &i8042_ops, k);
	if (ret)
		return ret;
	return pio_add(pio, PCI_CONFIG_PORT, 8, &pci_ops, k);
}
