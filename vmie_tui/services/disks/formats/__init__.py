"""Readers and writers of VMDK, VHD, VHDX, RAW, OVA and OVF; qemu-img for the others."""
