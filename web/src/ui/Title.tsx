import type { ReactNode } from "react";
import "./Title.css";

interface TitleProps {
	children: string;
	/** Links to what contains it. */
	path?: ReactNode;
	/** Buttons. */
	actions?: ReactNode;
}

/** The heading of a screen, which is also the title of the window. */
export function Title({ children, path, actions }: TitleProps) {
	return (
		<div className="title">
			<title>{`${children} · SCV`}</title>
			<div>
				{path && <nav aria-label="Path">{path}</nav>}
				<h1>
					<bdi>{children}</bdi>
				</h1>
			</div>
			{actions && <div className="actions">{actions}</div>}
		</div>
	);
}
