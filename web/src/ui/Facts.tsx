import type { ReactNode } from "react";
import "./Facts.css";

/** Facts about the subject of a screen, by their names. */
export function Facts({ children }: { children: Record<string, ReactNode> }) {
	return (
		<dl className="facts">
			{Object.entries(children).map(([name, value]) => (
				<div key={name}>
					<dt>{name}</dt>
					<dd>{value}</dd>
				</div>
			))}
		</dl>
	);
}
