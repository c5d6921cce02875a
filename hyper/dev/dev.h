/* SPDX-License-Identifier: MIT */
/*
 * The few legacy devices that stock kernels need, and the test device. Each is a
 * struct, embedded by the partition, and an init function that adds its ports.
 * No KVM here: interrupts are raised through dev_irq.
 * Thread: port callbacks on VP threads, under each device's own lock;
 * serial_input() on the control thread.
 *
 * DEVICE_archive(): the device's state, either direction, while no VP runs. Reading raises the
 * interrupt line again if it was up.
 */
#ifndef HYPER_DEV_H
#define HYPER_DEV_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/archive.h"
#include "base/inspect.h"
#include "hyper/dev/pio.h"

/* Level of an interrupt line. Called under the device's lock, only when the level changes. */
struct dev_irq {
	void (*set)(void *ctx, bool level);
	void *ctx;
};

/* Requests of devices to the VM. From VP threads, never under a device's lock. */
struct power_control {
	void (*power_off)(void *ctx);
	void (*reset)(void *ctx);
	/* Debug exit: the exit status of the process. */
	void (*debug_exit)(void *ctx, int status);
	void *ctx;
};

/* ---- 16550A UART on COM1 (serial.c) -------------------------------------- */
#define SERIAL_PORT    0x3F8u
#define SERIAL_GSI     4u
#define SERIAL_RX_FIFO 1024u /* host input waiting for the guest; the chip has 16 */
struct serial {
	pthread_mutex_t lock;
	struct dev_irq irq;
	/* Bytes sent by the guest; called under the lock, must neither block long nor call back. */
	void (*output)(void *ctx, uint8_t byte);
	void *ctx;
	uint8_t ier, lcr, mcr, scr, fcr;
	uint16_t divisor;
	bool thre_pending; /* THRE interrupt not yet acknowledged */
	bool line;         /* level of irq as last set */
	uint8_t rx[SERIAL_RX_FIFO];
	uint32_t rx_head, rx_count;
};
int serial_init(struct serial *s, struct pio *pio, struct dev_irq irq,
	void (*output)(void *ctx, uint8_t byte), void *ctx);
/* Host input; returns the number of accepted bytes. */
size_t serial_input(struct serial *s, const uint8_t *bytes, size_t count);
void serial_archive(struct serial *s, struct archive *a);
/* Control thread. */
void serial_inspect(struct serial *s, struct inspect *i);

/* ---- RTC / CMOS 0x70-0x71 (rtc.c) ---------------------------------------- */
/* Wall clock in UTC, UIP clear, no alarms. */
#define RTC_PORT    0x70u
#define RTC_CENTURY 0x32u /* register; in the FADT */
struct rtc {
	pthread_mutex_t lock;
	uint8_t index;
	uint8_t ram[128];
};
int rtc_init(struct rtc *r, struct pio *pio);
void rtc_archive(struct rtc *r, struct archive *a);

/* ---- ACPI power management (acpi_pm.c) ----------------------------------- */
/* PM1 event and control blocks, and the reset register. */
#define ACPI_PM1_EVT_PORT 0x600u /* 4 bytes: status, enable */
#define ACPI_PM1_CNT_PORT 0x604u /* 2 bytes */
#define ACPI_RESET_PORT   0x608u /* write ACPI_RESET_VALUE */
#define ACPI_RESET_VALUE  0x01u
#define ACPI_SLP_TYP_S5   5u
#define ACPI_SCI_GSI      9u
struct acpi_pm {
	pthread_mutex_t lock;
	struct power_control control;
	struct dev_irq sci;
	uint16_t status, enable, cnt;
	bool line; /* level of sci as last set */
};
int acpi_pm_init(
	struct acpi_pm *pm, struct pio *pio, struct power_control control, struct dev_irq sci);
/* Presses the power button: the guest's init shuts down. Any thread. */
void acpi_pm_power_button(struct acpi_pm *pm);
void acpi_pm_archive(struct acpi_pm *pm, struct archive *a);

/* ---- what is left of the PC (i8042.c): two ways to reset, and no PCI ----- */
#define I8042_STATUS_PORT 0x64u  /* reads 0; command 0xFE resets */
#define PCI_CONFIG_PORT   0xCF8u /* 8 ports: no PCI, and the reset register at 0xCF9 */
struct i8042 {
	struct power_control control;
};
int i8042_init(struct i8042 *k, struct pio *pio, struct power_control control);

/* Other ports, like the POST port, read as all ones. The PICs are in KVM. */

/* ---- debug exit (debugexit.c) -------------------------------------------- */
/* 32-bit OUT to 0xF4, text "Shutdown" to 0x8900. Tests only. */
#define DEBUG_EXIT_PORT 0xF4u   /* 4 bytes */
#define SHUTDOWN_PORT   0x8900u /* 1 byte */
struct debug_exit {
	pthread_mutex_t lock;
	struct power_control control;
	unsigned shutdown_matched;
};
int debug_exit_init(struct debug_exit *d, struct pio *pio, struct power_control control);
void debug_exit_archive(struct debug_exit *d, struct archive *a);

#endif
