import { isDormouseError } from '@dormouse/errors';
import { hasUnlayeredDisks, outdatedArguments, parseLaunchSpec, parseNewLaunchSpec } from './launch-spec';

const small = { machine: 'pc-q35-7.2', cpuModel: 'qemu64', memoryMiB: 512 };

/** What is said of arguments, each as `extraArguments.N: reason`. */
function problemsOf(...extraArguments: readonly string[]): readonly string[] {
  try {
    parseNewLaunchSpec({ ...small, extraArguments });
    return [];
  } catch (error) {
    if (!isDormouseError(error, 'LAUNCH_SPEC_INVALID')) throw error;
    return error.details['problems'] as readonly string[];
  }
}

test.each([
  '-device qemu-xhci -device usb-tablet',
  '--device {"driver":"virtio-balloon-pci"}',
  '-audiodev none,id=sound -device intel-hda -device hda-duplex,audiodev=sound',
  '-chardev spicevmc,id=vdagent,name=vdagent -device virtserialport,chardev=vdagent,name=com.redhat.spice.0',
  '-rtc base=localtime,driftfix=slew -boot order=c,menu=on -smbios type=1,serial=x -usb -usbdevice tablet',
  '-object rng-random,id=rng0,filename=/dev/urandom -global ICH9-LPC.disable_s3=1 -no-hpet -k de',
  '-drive file=/tools.iso,if=none,id=cd,media=cdrom -device ide-cd,drive=cd',
  '-drive if=pflash,format=raw,readonly=on,file=/usr/share/OVMF/OVMF_CODE.fd',
  '-blockdev {"driver":"raw","node-name":"x","read-only":true,"file":{"driver":"file","filename":"/a,b"}}',
  '-serial none -parallel none -name debug-threads=on -uuid 6ba7b810-9dad-11d1-80b4-00c04fd430c8',
])('%s is taken', (line) => {
  expect(problemsOf(...line.split(' '))).toEqual([]);
});

test.each<[string, RegExp]>([
  ['-m 512', /`memoryMiB`/],
  ['--m 512', /`memoryMiB`/],
  ['-smp 4', /`cpus`/],
  ['-machine pc', /`machine`/],
  ['-M q35', /`machine`/],
  ['-cpu host', /`cpuModel`/],
  ['-accel kvm', /ACCEL/],
  ['-enable-kvm', /ACCEL/],
  ['-incoming defer', /owns and ends the process/],
  ['-daemonize', /owns and ends the process/],
  ['-S', /owns and ends the process/],
  ['-runas nobody', /owns and ends the process/],
  ['-no-shutdown', /sets this itself/],
  ['-snapshot', /would be gone/],
  ['-drive file=/d.qcow2,format=qcow2,if=virtio', /writable disk: use the field `disks`/],
  ['-drive file=/d.qcow2,if=ide,readonly=off', /`disks`/],
  ['-drive file=/d.qcow2,snapshot=on', /would be gone/],
  ['-drive if=pflash,format=raw,file=/vars.fd', /UEFI variables/],
  ['-drive if=pflash,format=raw,file=/vars,,readonly=on.fd', /UEFI variables/],
  ['-pflash /vars.fd', /UEFI variables/],
  ['-blockdev {"driver":"qcow2","node-name":"x","file":"y"}', /`disks`/],
  ['-blockdev driver=file,filename=/d,node-name=x,read-only=off', /`disks`/],
  ['-hda /d.qcow2', /`disks`/],
  ['/d.qcow2', /`disks`/],
  ['-netdev user,id=n', /`nics`/],
  ['-nic user', /`nics`/],
  ['-device virtio-net-pci,netdev=n', /`nics`/],
  ['-device {"driver":"e1000e"}', /`nics`/],
  ['-chardev socket,id=c,path=x', /its own sockets/],
  ['-monitor stdio', /its own sockets/],
  ['-qmp tcp::4444', /its own sockets/],
  ['-s', /its own sockets/],
  ['-serial stdio', /serial ports/],
  ['-vnc :0', /`display`/],
  ['-nographic', /`display`/],
  ['-kernel /vmlinuz', /`kernel`/],
  ['-tpmdev emulator,id=t,chardev=c', /TPM is not yet possible/],
  ['-rtc clock=vm', /clock is the host’s/],
  ['-name guest=other', /the desktop’s id/],
  ['-audiodev pa,id=a', /sound goes nowhere/],
  ['-readconfig file', /name them one by one/],
  ['-object input-linux,id=i,evdev=/dev/input/event0', /not possible/],
  ['-frobnicate', /no option of QEMU that Dormouse knows/],
  ['-constructor x', /no option of QEMU that Dormouse knows/],
  ['-device', /needs a value/],
])('%s is refused with what to do', (line, reason) => {
  expect(problemsOf(...line.split(' '))).toEqual([expect.stringMatching(reason)]);
});

test('each that is refused is named by its place, and what follows is read on', () => {
  expect(problemsOf('-usb', '-m', '512', '-frobnicate', 'x', '-S')).toEqual([
    expect.stringMatching(/^extraArguments\.1: -m: /),
    expect.stringMatching(/^extraArguments\.3: -frobnicate /),
    expect.stringMatching(/^extraArguments\.5: -S: /),
  ]);
});

test('a desktop that was registered with what is refused now is told so, and started if that is safe', () => {
  const stored = (...extraArguments: string[]) => parseLaunchSpec({ ...small, extraArguments });
  expect(outdatedArguments(stored('-device', 'usb-tablet'))).toEqual([]);
  expect(outdatedArguments(stored('-no-shutdown', '-m', '512'))).toHaveLength(2);
  for (const deadly of ['-daemonize', '-S', '-snapshot']) {
    expect(() => outdatedArguments(stored(deadly))).toThrow(/^extraArguments\.0: /);
  }
});

test('of a desktop that was registered with a writable disk in its arguments it is known that this has no layers', () => {
  const stored = (line: string) => parseLaunchSpec({ ...small, extraArguments: line.split(' ') });
  expect(hasUnlayeredDisks(stored('-drive file=/d.qcow2,if=virtio'))).toBe(true);
  expect(hasUnlayeredDisks(stored('-drive if=pflash,format=raw,file=/vars.fd'))).toBe(true);
  expect(hasUnlayeredDisks(stored('-drive file=/tools.iso,media=cdrom -m 512'))).toBe(false);
});
