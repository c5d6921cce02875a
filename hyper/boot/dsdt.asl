// SPDX-License-Identifier: MIT
//
// The machine as the guest's ACPI sees it. Compiled by `iasl -f -tc`: -f because
// "VMBus" is not an upper-case id. Addresses and interrupts agree with
// hyper/dev/dev.h; acpi_test.c compares them.
//
DefinitionBlock ("dsdt.aml", "DSDT", 2, "ENLITE", "ENLITE", 1)
{
	// Soft off: SLP_TYP 5. There is no other sleep state, so no hibernation.
	Name (\_S5, Package () { 5, 5, 0, 0 })

	Scope (\_SB)
	{
		// The module that holds VMBus. Its windows are where a guest may put
		// devices it gets over VMBus: above all RAM below 4 GiB and below the
		// IO-APIC; and the last 16 GiB of 40 address bits, above all RAM
		// (acpi.c refuses more).
		Device (VMOD)
		{
			Name (_HID, "ACPI0004")
			Name (_UID, 0)
			Name (_CRS, ResourceTemplate ()
			{
				QWordMemory (ResourceProducer, PosDecode, MinFixed, MaxFixed,
					Cacheable, ReadWrite, 0x0,
					0xF8000000, 0xFDFFFFFF, 0x0, 0x06000000)
				QWordMemory (ResourceProducer, PosDecode, MinFixed, MaxFixed,
					Cacheable, ReadWrite, 0x0,
					0xFC00000000, 0xFFFFFFFFFF, 0x0, 0x400000000)
			})

			// Linux wants a _CRS here that evaluates and ignores what it
			// says on x86; one edge interrupt is what Hyper-V has.
			Device (VMBS)
			{
				Name (_HID, "VMBus")
				Name (_UID, 0)
				Name (_DDN, "VMBUS")
				Name (_STA, 0xF)
				Name (_CRS, ResourceTemplate ()
				{
					IRQ (Edge, ActiveHigh, Exclusive) { 5 }
				})
			}
		}

		Device (COM1)
		{
			Name (_HID, EisaId ("PNP0501"))
			Name (_UID, 1)
			Name (_STA, 0xF)
			Name (_CRS, ResourceTemplate ()
			{
				IO (Decode16, 0x03F8, 0x03F8, 0x00, 0x08)
				IRQNoFlags () { 4 }
			})
		}

		Device (RTC)
		{
			Name (_HID, EisaId ("PNP0B00"))
			Name (_STA, 0xF)
			Name (_CRS, ResourceTemplate ()
			{
				IO (Decode16, 0x0070, 0x0070, 0x00, 0x02)
			})
		}
	}
}
