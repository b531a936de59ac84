/* The devices of the board that cannot be found by probing, and how PCI interrupts are routed.
 *
 * PIRQA..PIRQD go through the PIIX3's router (configuration registers 60h..63h) to an ISA line, and
 * from there to the 8259s and to the IOAPIC input of the same number, so the link devices serve both
 * modes.  Pin n of device d is on PIRQ (n + d - 1) mod 4.
 * Sources: ACPI specification 2.0c; 82371SB datasheet §2.2.11 (PIRQRC); PCI Firmware 3.0 §4.
 */
DefinitionBlock ("dsdt.aml", "DSDT", 2, "RING3 ", "RING3PC ", 1)
{
    Name (\_S5, Package () { 0, 0, 0, 0 }) /* SLP_TYP of the PIIX4: soft off */

    Name (SERP, 0xFF) /* bit n: COM(n+1) is there; filled in when the machine is built */

    Scope (\_SB)
    {
        Device (PCI0)
        {
            Name (_HID, EisaId ("PNP0A03"))
            Name (_UID, 0)
            Name (_CRS, ResourceTemplate ()
            {
                WordBusNumber (ResourceProducer, MinFixed, MaxFixed, PosDecode,
                    0, 0, 0xFF, 0, 0x100)
                IO (Decode16, 0x0CF8, 0x0CF8, 1, 8)
                WordIO (ResourceProducer, MinFixed, MaxFixed, PosDecode, EntireRange,
                    0, 0x0000, 0x0CF7, 0, 0x0CF8)
                WordIO (ResourceProducer, MinFixed, MaxFixed, PosDecode, EntireRange,
                    0, 0x0D00, 0xFFFF, 0, 0xF300)
                DWordMemory (ResourceProducer, PosDecode, MinFixed, MaxFixed, Cacheable, ReadWrite,
                    0, 0x000A0000, 0x000BFFFF, 0, 0x00020000)
                DWordMemory (ResourceProducer, PosDecode, MinFixed, MaxFixed, NonCacheable,
                    ReadWrite, 0, 0xC0000000, 0xFEBFFFFF, 0, 0x3EC00000)
            })

            Method (_PRT, 0, Serialized)
            {
                Local0 = Package (124) {}
                Local1 = 0 /* (device - 1) * 4 + pin */
                While (Local1 < 124)
                {
                    Local2 = (Local1 >> 2)
                    Local3 = ((Local1 + Local2) & 3)
                    If (Local3 == 0) { Local4 = Package () { 0, 0, LNKA, 0 } }
                    If (Local3 == 1) { Local4 = Package () { 0, 0, LNKB, 0 } }
                    If (Local3 == 2) { Local4 = Package () { 0, 0, LNKC, 0 } }
                    If (Local3 == 3) { Local4 = Package () { 0, 0, LNKD, 0 } }
                    Local4[0] = (((Local2 + 1) << 16) | 0xFFFF)
                    Local4[1] = (Local1 & 3)
                    Local0[Local1] = Local4
                    Local1++
                }
                Return (Local0)
            }

            Device (VGA)
            {
                Name (_ADR, 0x00020000)
            }

            Device (ISA)
            {
                Name (_ADR, 0x00010000)
                OperationRegion (PIRQ, PCI_Config, 0x60, 4)
                Field (PIRQ, ByteAcc, NoLock, Preserve)
                {
                    RTEA, 8,
                    RTEB, 8,
                    RTEC, 8,
                    RTED, 8
                }

                Device (PIC)
                {
                    Name (_HID, EisaId ("PNP0000"))
                    Name (_CRS, ResourceTemplate ()
                    {
                        IO (Decode16, 0x0020, 0x0020, 1, 2)
                        IO (Decode16, 0x00A0, 0x00A0, 1, 2)
                        IO (Decode16, 0x04D0, 0x04D0, 1, 2)
                        IRQNoFlags () {2}
                    })
                }

                Device (DMAC)
                {
                    Name (_HID, EisaId ("PNP0200"))
                    Name (_CRS, ResourceTemplate ()
                    {
                        IO (Decode16, 0x0000, 0x0000, 1, 0x10)
                        IO (Decode16, 0x0081, 0x0081, 1, 0x0F)
                        IO (Decode16, 0x00C0, 0x00C0, 1, 0x20)
                        DMA (Compatibility, NotBusMaster, Transfer8_16) {4}
                    })
                }

                Device (TMR)
                {
                    Name (_HID, EisaId ("PNP0100"))
                    Name (_CRS, ResourceTemplate ()
                    {
                        IO (Decode16, 0x0040, 0x0040, 1, 4)
                        IRQNoFlags () {0}
                    })
                }

                Device (RTC)
                {
                    Name (_HID, EisaId ("PNP0B00"))
                    Name (_CRS, ResourceTemplate ()
                    {
                        IO (Decode16, 0x0070, 0x0070, 1, 2)
                        IRQNoFlags () {8}
                    })
                }

                Device (SPKR)
                {
                    Name (_HID, EisaId ("PNP0800"))
                    Name (_CRS, ResourceTemplate ()
                    {
                        IO (Decode16, 0x0061, 0x0061, 1, 1)
                    })
                }

                Device (FPU)
                {
                    Name (_HID, EisaId ("PNP0C04"))
                    Name (_CRS, ResourceTemplate ()
                    {
                        IO (Decode16, 0x00F0, 0x00F0, 1, 2)
                        IRQNoFlags () {13}
                    })
                }

                Device (KBD)
                {
                    Name (_HID, EisaId ("PNP0303"))
                    Name (_CRS, ResourceTemplate ()
                    {
                        IO (Decode16, 0x0060, 0x0060, 1, 1)
                        IO (Decode16, 0x0064, 0x0064, 1, 1)
                        IRQNoFlags () {1}
                    })
                }

                Device (MOU)
                {
                    Name (_HID, EisaId ("PNP0F13"))
                    Name (_CRS, ResourceTemplate ()
                    {
                        IRQNoFlags () {12}
                    })
                }

                Device (FDC)
                {
                    Name (_HID, EisaId ("PNP0700"))
                    Name (_CRS, ResourceTemplate ()
                    {
                        IO (Decode16, 0x03F2, 0x03F2, 1, 4)
                        IO (Decode16, 0x03F7, 0x03F7, 1, 1)
                        IRQNoFlags () {6}
                        DMA (Compatibility, NotBusMaster, Transfer8) {2}
                    })
                }

                Device (COM1)
                {
                    Name (_HID, EisaId ("PNP0501"))
                    Name (_UID, 1)
                    Method (_STA)
                    {
                        If (SERP & 1) { Return (0x0F) }
                        Return (0)
                    }
                    Name (_CRS, ResourceTemplate ()
                    {
                        IO (Decode16, 0x03F8, 0x03F8, 1, 8)
                        IRQNoFlags () {4}
                    })
                }

                Device (COM2)
                {
                    Name (_HID, EisaId ("PNP0501"))
                    Name (_UID, 2)
                    Method (_STA)
                    {
                        If (SERP & 2) { Return (0x0F) }
                        Return (0)
                    }
                    Name (_CRS, ResourceTemplate ()
                    {
                        IO (Decode16, 0x02F8, 0x02F8, 1, 8)
                        IRQNoFlags () {3}
                    })
                }

                Device (COM3)
                {
                    Name (_HID, EisaId ("PNP0501"))
                    Name (_UID, 3)
                    Method (_STA)
                    {
                        If (SERP & 4) { Return (0x0F) }
                        Return (0)
                    }
                    Name (_CRS, ResourceTemplate ()
                    {
                        IO (Decode16, 0x03E8, 0x03E8, 1, 8)
                        IRQNoFlags () {4}
                    })
                }

                Device (COM4)
                {
                    Name (_HID, EisaId ("PNP0501"))
                    Name (_UID, 4)
                    Method (_STA)
                    {
                        If (SERP & 8) { Return (0x0F) }
                        Return (0)
                    }
                    Name (_CRS, ResourceTemplate ()
                    {
                        IO (Decode16, 0x02E8, 0x02E8, 1, 8)
                        IRQNoFlags () {3}
                    })
                }
            }

            Device (HPET)
            {
                Name (_HID, EisaId ("PNP0103"))
                Name (_UID, 0)
                Name (_CRS, ResourceTemplate ()
                {
                    Memory32Fixed (ReadOnly, 0xFED00000, 0x00000400)
                })
            }
        }

        /* Bit 7 of a route register: not routed; bits 3:0: the line. */
        Method (LSTA, 1) { If (Arg0 & 0x80) { Return (0x09) } Return (0x0B) }
        Method (LCRS, 1, Serialized)
        {
            Name (BUFF, ResourceTemplate ()
            {
                Interrupt (ResourceConsumer, Level, ActiveHigh, Shared, , , NUMB) {0}
            })
            CreateDWordField (BUFF, NUMB._INT, LINE)
            LINE = 0
            If (!(Arg0 & 0x80)) { LINE = Arg0 & 0x0F }
            Return (BUFF)
        }
        Method (LSRS, 1)
        {
            CreateDWordField (Arg0, 0x05, LINE)
            Return (LINE)
        }

        Device (LNKA)
        {
            Name (_HID, EisaId ("PNP0C0F"))
            Name (_UID, 1)
            Name (_PRS, ResourceTemplate ()
            {
                Interrupt (ResourceConsumer, Level, ActiveHigh, Shared) {5, 10, 11}
            })
            Method (_STA) { Return (LSTA (\_SB.PCI0.ISA.RTEA)) }
            Method (_DIS) { \_SB.PCI0.ISA.RTEA |= 0x80 }
            Method (_CRS) { Return (LCRS (\_SB.PCI0.ISA.RTEA)) }
            Method (_SRS, 1) { \_SB.PCI0.ISA.RTEA = LSRS (Arg0) }
        }

        Device (LNKB)
        {
            Name (_HID, EisaId ("PNP0C0F"))
            Name (_UID, 2)
            Name (_PRS, ResourceTemplate ()
            {
                Interrupt (ResourceConsumer, Level, ActiveHigh, Shared) {5, 10, 11}
            })
            Method (_STA) { Return (LSTA (\_SB.PCI0.ISA.RTEB)) }
            Method (_DIS) { \_SB.PCI0.ISA.RTEB |= 0x80 }
            Method (_CRS) { Return (LCRS (\_SB.PCI0.ISA.RTEB)) }
            Method (_SRS, 1) { \_SB.PCI0.ISA.RTEB = LSRS (Arg0) }
        }

        Device (LNKC)
        {
            Name (_HID, EisaId ("PNP0C0F"))
            Name (_UID, 3)
            Name (_PRS, ResourceTemplate ()
            {
                Interrupt (ResourceConsumer, Level, ActiveHigh, Shared) {5, 10, 11}
            })
            Method (_STA) { Return (LSTA (\_SB.PCI0.ISA.RTEC)) }
            Method (_DIS) { \_SB.PCI0.ISA.RTEC |= 0x80 }
            Method (_CRS) { Return (LCRS (\_SB.PCI0.ISA.RTEC)) }
            Method (_SRS, 1) { \_SB.PCI0.ISA.RTEC = LSRS (Arg0) }
        }

        Device (LNKD)
        {
            Name (_HID, EisaId ("PNP0C0F"))
            Name (_UID, 4)
            Name (_PRS, ResourceTemplate ()
            {
                Interrupt (ResourceConsumer, Level, ActiveHigh, Shared) {5, 10, 11}
            })
            Method (_STA) { Return (LSTA (\_SB.PCI0.ISA.RTED)) }
            Method (_DIS) { \_SB.PCI0.ISA.RTED |= 0x80 }
            Method (_CRS) { Return (LCRS (\_SB.PCI0.ISA.RTED)) }
            Method (_SRS, 1) { \_SB.PCI0.ISA.RTED = LSRS (Arg0) }
        }

        Device (C000)
        {
            Name (_HID, "ACPI0007")
            Name (_UID, 0)
        }
    }
}
