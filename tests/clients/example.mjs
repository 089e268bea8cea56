// Type-checks a TypeScript example and runs it. Usage: node example.mjs FILE ARGUMENT...
import { spawnSync } from 'node:child_process';
import { copyFileSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const [file, ...rest] = process.argv.slice(2);
const packages = join(dirname(fileURLToPath(import.meta.url)), 'node_modules');
const folder = mkdtempSync(join(tmpdir(), 'example-'));
symlinkSync(packages, join(folder, 'node_modules'));
writeFileSync(join(folder, 'package.json'), '{ "type": "module" }');
copyFileSync(file, join(folder, 'example.ts'));
const options = ['--strict', '--module', 'nodenext', '--target', 'es2022', '--types', 'node', '--skipLibCheck', 'example.ts'];
const run = (program, ...given) => spawnSync(process.execPath, [program, ...given], { cwd: folder, stdio: 'inherit' }).status;
const status = run(join(packages, 'typescript', 'bin', 'tsc'), ...options) || run('example.js', ...rest);
rmSync(folder, { recursive: true });
process.exit(status);
