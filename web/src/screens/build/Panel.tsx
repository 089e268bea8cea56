import type { HTMLAttributes, ReactNode } from "react";

interface PanelProps extends Omit<HTMLAttributes<HTMLElement>, "title"> {
	id: string;
	title: ReactNode;
}

/** A part of what is beside the network. It can be folded away, to make room for the others. */
export function Panel({ id, title, children, ...section }: PanelProps) {
	return (
		<section {...section} aria-labelledby={id}>
			<details open>
				<summary>
					<h2 id={id}>{title}</h2>
				</summary>
				{children}
			</details>
		</section>
	);
}
