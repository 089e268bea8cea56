import { Facts } from "../../ui/Facts";
import { compact, percent, shape } from "../../ui/format";
import { LayerLink } from "../../ui/links";
import type { Layer } from "./LayerTable";
import type { NamedVersion } from "./Version";

interface LayerFactsProps extends NamedVersion {
	layer: Layer | undefined;
	/** Those of the whole network. */
	operations: number;
}

/** The facts about a layer that was selected in the graph. */
export function LayerFacts({ model, version, layer, operations }: LayerFactsProps) {
	return (
		<aside className="network-layer" aria-label="Selected layer" aria-live="polite">
			{layer ? (
				<>
					<h2>
						{layer.kind} <bdi>{layer.name}</bdi>
					</h2>
					<Facts>
						{{
							Input: shape(layer.inputShape),
							Output: shape(layer.outputShape),
							Parameters: compact(layer.parameterCount),
							Operations: `${compact(layer.multiplyAccumulates)}, ${percent(layer.multiplyAccumulates / operations)} of all`,
						}}
					</Facts>
					{layer.degenerate.map(({ message }) => (
						<p key={message} className="quiet">
							No vector: {message}.
						</p>
					))}
					<LayerLink model={model} number={version.number} layer={layer.name}>
						Layers that compute the same
					</LayerLink>
				</>
			) : (
				<p className="quiet">
					Select a layer to see what it does. The line at its bottom is its share of the operations.
				</p>
			)}
		</aside>
	);
}
