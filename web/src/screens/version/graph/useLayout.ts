import { useEffect, useState } from "react";
import type { Layout, Vertex } from "./layout";

/** The layout of a network; null until it is there, and "failed" if it cannot be made. */
export function useLayout(layers: readonly Vertex[]): Layout | "failed" | null {
	const [layout, setLayout] = useState<Layout | "failed" | null>(null);
	useEffect(() => {
		const worker = new Worker(new URL("./layout.worker.ts", import.meta.url), { type: "module" });
		worker.onmessage = ({ data }: MessageEvent<Layout>) => setLayout(data);
		worker.onerror = () => setLayout("failed");
		worker.postMessage(layers.map(({ index, inputs }) => ({ index, inputs })));
		return () => worker.terminate();
	}, [layers]);
	return layout;
}
