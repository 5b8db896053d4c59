import { pathsInArguments } from './argument-paths';

test.each<[string, string[], string[]]>([
  ['a drive', ['-drive', 'file=/i/a,,b.iso,format=raw,readonly=on'], ['/i/a,b.iso']],
  [
    'what lies below a drive',
    ['--drive', 'driver=qcow2,file.filename=/i/a,backing.file.filename=/i/b'],
    ['/i/a', '/i/b'],
  ],
  [
    'nodes in JSON',
    ['-blockdev', '{"driver":"qcow2","file":{"driver":"file","filename":"/i/a"},"backing":{"filename":"/i/b"}}'],
    ['/i/a', '/i/b'],
  ],
  ['a node that names another', ['-blockdev', 'driver=raw,node-name=a,file=b'], []],
  ['a folder', ['-fsdev', 'local,id=a,path=/i,security_model=none', '-virtfs', 'local,path=/j'], ['/i', '/j']],
  [
    'firmware',
    ['-bios', '/i/bios', '-cdrom', '/i/cd', '-device', 'e1000,romfile=/i/rom'],
    ['/i/bios', '/i/cd', '/i/rom'],
  ],
  ['tables', ['-acpitable', 'sig=X,data=/i/a:/i/b', '-fw_cfg', 'name=opt/x,file=/i/c'], ['/i/a', '/i/b', '/i/c']],
  ['one behind a value that looks like an option', ['-name', '-drive', '-cdrom', '/i/a'], ['/i/a']],
  ['no content', ['-object', 'memory-backend-file,id=m,mem-path=/dev/hugepages', '-uuid', '/x', '-drive'], []],
])('%s', (_, extraArguments, paths) => {
  expect(pathsInArguments(extraArguments)).toEqual(paths);
});
