import { Link } from "@tanstack/react-router";
import type { ReactNode } from "react";

interface VersionPlace {
	model: string;
	number: number;
}

/** A link to a version. Without content of its own, it has the version's name. */
export function VersionLink({ model, number, children }: VersionPlace & { children?: ReactNode }) {
	return (
		<Link to="/models/$model/versions/$number" params={{ model, number: String(number) }}>
			{children ?? (
				<>
					<bdi>{model}</bdi>, version {number}
				</>
			)}
		</Link>
	);
}

/** A link to a layer of a version. Without content of its own, it has the layer's name. */
export function LayerLink({ model, number, layer, children }: VersionPlace & { layer: string; children?: ReactNode }) {
	return (
		<Link to="/models/$model/versions/$number/layers/$layer" params={{ model, number: String(number), layer }}>
			{children ?? <bdi>{layer}</bdi>}
		</Link>
	);
}
