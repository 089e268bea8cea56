import { useEffect, useState } from "react";
import type { Layout, Vertex } from "./layout";

/** The layout of a network, or why there is none; null until it is there. */
export function useLayout(layers: readonly Vertex[]): Layout | Error | null {
	const [layout, setLayout] = useState<Layout | Error | null>(null);
	useEffect(() => {
		const worker = new Worker(new URL("./layout.worker.ts", import.meta.url), { type: "module" });
		worker.onmessage = ({ data }: MessageEvent<Layout>) => setLayout(data);
		worker.onerror = ({ message }) =>
			setLayout(new Error(`This network is too deep to be drawn (${message}). The table has its layers.`));
		worker.postMessage(layers.map(({ index, inputs }) => ({ index, inputs })));
		return () => worker.terminate();
	}, [layers]);
	return layout;
}
