import { copyFileSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { brotliCompressSync } from "node:zlib";
import react from "@vitejs/plugin-react";
import { defineConfig, type Plugin } from "vite";

// For `npm run dev`: the server that answers the page's requests.
const SERVER = "http://127.0.0.1:8000";
const ROUTES_OF_SERVER = ["/graphql", "/graphiql", "/images", "/cka", "/evaluations", "/trainings", "/versions"];

/** A file that fits into one packet does not gain by compression. */
const MIN_COMPRESSED_BYTES = 1_400;

/** Compresses what browsers load, and adds the documents of the page, which every server executes. */
const forTheServer: Plugin = {
	name: "for-the-server",
	apply: "build",
	// When the files are written: until then, Vite itself still changes them.
	writeBundle({ dir = "dist" }, bundle) {
		for (const fileName of Object.keys(bundle).filter((name) => /\.(js|css|svg)$/.test(name))) {
			const content = readFileSync(join(dir, fileName));
			if (content.length < MIN_COMPRESSED_BYTES) continue;
			writeFileSync(join(dir, `${fileName}.br`), brotliCompressSync(content));
		}
		copyFileSync("src/gql/persisted-documents.json", join(dir, "documents.json"));
	},
};

export default defineConfig({
	plugins: [react(), forTheServer],
	build: { target: "es2023", assetsDir: "assets/page", modulePreload: { polyfill: false } },
	server: { proxy: Object.fromEntries(ROUTES_OF_SERVER.map((route) => [route, { target: SERVER, ws: true }])) },
});
