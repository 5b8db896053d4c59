import { execFile, spawnSync } from 'node:child_process';
import { chmod, copyFile, mkdir, readFile, writeFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { promisify } from 'node:util';
import { asUser } from '@dormouse/process';
import type { JsonObject } from '@dormouse/session';
import { guestLaunchSpec, sendSignal, type RunningDormouse } from '../scenario';
import { memoryOf, TestBed, type RunningDesk } from '../scenario/test-bed';
import { qemuBinaries } from '../qemu';

/**
 * The whole life of desktops whose QEMU has a user of its own, and what this user can do at worst. Only root can try it; it needs no such
 * user on the machine.
 */
jest.setTimeout(300_000);

const user = { uid: 61_234, gid: 61_234, groups: [] };
const [program, ...become] = asUser(user) as [string, ...string[]];
const settings = { QEMU_USER: `${user.uid}:${user.gid}` };
const isRoot = process.getuid?.() === 0;
/** A clone may lie where this user does not come, and an unpacked QEMU with it. */
const reachable = (qemu: string): boolean => spawnSync(program, [...become, qemu, '--version']).status === 0;
const binaries = isRoot ? qemuBinaries().filter(reachable) : [];
const userfaultfd = '/proc/sys/vm/unprivileged_userfaultfd';

if (binaries.length === 0) test.skip('QEMU has a user of its own: only root can try that', () => undefined);
else describe.each(binaries)('with %s', qemuOfUser);

function qemuOfUser(qemu: string): void {
  let bed: TestBed;
  let dormouse: RunningDormouse;
  let spec: JsonObject;
  let ada: RunningDesk;
  let allowed: string;

  beforeAll(async () => {
    // As deploy/systemd/90-dormouse.conf has it: whoever is not root wakes nobody without.
    allowed = await readFile(userfaultfd, 'utf8');
    await writeFile(userfaultfd, '1');
    bed = await TestBed.make();
    const images = join(bed.dataDir, 'images');
    await mkdir(images, { mode: 0o755 });
    const place = async (file: string): Promise<string> => {
      const copy = join(images, basename(file));
      await copyFile(file, copy);
      await chmod(copy, 0o644);
      return copy;
    };
    const { goldenImage, kernel, initramfs } = bed.image;
    const [golden, vmlinuz, initrd] = await Promise.all([goldenImage, kernel, initramfs].map(place));
    spec = guestLaunchSpec({ ...bed.image, goldenImage: golden!, kernel: vmlinuz!, initramfs: initrd! }, 192);
    dormouse = await bed.start({ ...settings, QEMU_BINARY: qemu });
    jest.spyOn(bed, 'launchSpec').mockReturnValue(spec);
    ada = await bed.desktop(dormouse, 'ada');
  });
  afterAll(async () => {
    await bed?.end();
    await writeFile(userfaultfd, allowed);
  });

  /** What a process of QEMU's user does that starts where QEMU has started; its output, or what it was refused. */
  async function tried(script: string): Promise<string> {
    const cwd = ada.desk.runDirectory.path;
    return promisify(execFile)(program, [...become, 'sh', '-c', script], { cwd }).then(
      ({ stdout }) => stdout.trim(),
      ({ stderr }: { stderr: string }) => stderr.trim(),
    );
  }

  async function statusOf(desk: RunningDesk['desk']): Promise<string> {
    return readFile(`/proc/${await desk.process('qemu')}/status`, 'utf8');
  }

  test('QEMU runs as this user, without a capability', async () => {
    const status = await statusOf(ada.desk);
    expect(status).toMatch(new RegExp(`^Uid:(\\t${user.uid}){4}$`, 'm'));
    expect(status).toMatch(new RegExp(`^Gid:(\\t${user.gid}){4}$`, 'm'));
    expect(status).toMatch(/^CapPrm:\t0+$/m);
    expect(status).toMatch(/^NoNewPrivs:\t1$/m);
  });

  test('it reads no key, no storage and no other desktop, and puts nothing in our way', async () => {
    const { dataDir } = bed;
    await bed.desktop(dormouse, 'eve');
    const layers = await ada.desk.layers();
    const forbidden = [
      ...['keys/admin.key', 'keys/master.json', 'keys/webhook.secret', 'host.json'],
      ...['run/eve/qemu.log', 'run/eve/console.log', 'run/eve/qemu/qmp.sock', 'run/ada/qemu.log'],
    ];
    for (const file of forbidden) {
      expect(await tried(`exec cat ${join(dataDir, file)}`)).toContain('Permission denied');
    }
    for (const place of ['.', 'disks', 'disks/ada', 'disks/eve', 'run', 'run/eve', 'storage', 'keys']) {
      expect(await tried(`exec ls ${join(dataDir, place)}`)).toContain('Permission denied');
    }
    for (const file of ['qemu.json', 'pager.json', 'machine.json', 'rescue.in', 'console.log', 'paused', 'taps']) {
      expect(await tried(`ln -sf /etc/passwd ${file}`)).toContain('Permission denied');
    }
    expect(await tried('cat qemu.json machine.json')).toContain('Permission denied');
    expect(layers).toHaveLength(1);
    expect(await tried(`head -c 3 ${join(dataDir, 'disks', 'ada', layers[0]!)}`)).toBe('QFI');
  });

  test('it sleeps and wakes lazily with all of its memory, and its sealed layer is no longer its to write', async () => {
    await ada.guest.write('on the disk');
    const [sealed] = await ada.desk.layers();
    await bed.sleeps(ada);
    ada = await bed.wakes(ada);
    expect(await memoryOf(ada.guest)).toEqual(ada.memory);
    expect(await ada.guest.read()).toBe('on the disk');
    expect(await statusOf(ada.desk)).toMatch(new RegExp(`^Uid:\\t${user.uid}\\t`, 'm'));
    const { result } = await ada.desk.latest('restore');
    expect(result).toMatchObject({ machineWaited: true, pageRequests: expect.any(Number) });
    const file = join(bed.dataDir, 'disks', 'ada', sealed!);
    expect(await tried(`head -c 3 ${file}`)).toBe('QFI');
    expect(await tried(`exec 3<> ${file}`)).toContain('Permission denied');
  });

  test('a pager that dies while it wakes is replaced', async () => {
    await bed.sleeps(ada);
    const waking = ada.desk.does('restore');
    await ada.desk.process('qemu');
    const guest = await bed.guestOf(ada.desk);
    const pager = await ada.desk.runDirectory.liveProcess('pager');
    if (pager !== null) sendSignal(pager.pid, 'SIGKILL');
    await waking;
    ada = { ...ada, guest };
    expect(await memoryOf(guest)).toEqual(ada.memory);
  });

  test('a checkpoint is gone back to, and the worker may be started again meanwhile', async () => {
    const worker = await dormouse.workerPid();
    sendSignal(worker, 'SIGKILL');
    await bed.sleeps(ada);
    expect(await dormouse.workerPid()).not.toBe(worker);
    await ada.desk.does('restore');
    ada = await bed.answering(ada);
    expect(await memoryOf(ada.guest)).toEqual(ada.memory);
  });

  test('it is stopped and deleted, and leaves nothing', async () => {
    ada.guest.close();
    await ada.desk.does('stop');
    expect(await bed.filesBelow(join('run', 'ada'))).toEqual([]);
    await ada.desk.start();
    expect(await (await bed.guestOf(ada.desk)).read()).toBe('on the disk');
    await ada.desk.does('stop');
    await dormouse.api.deleteDesktop('ada', 'the test is over');
    expect(await bed.filesBelow('run')).not.toContainEqual(expect.stringContaining('ada/'));
  });
}
